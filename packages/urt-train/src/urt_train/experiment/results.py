"""The results of a recipe so far: its stages beside each other, in results.md and report.html of its output folder."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

from urt_core.atomic import write_whole
from urt_core.bench.phases import read_costs
from urt_core.bench.report import JudgedData, read_beside, read_evaluations, write_report
from urt_core.bench.table import Table
from urt_core.bench.tables import cost_table, markdown_page, stage_tables
from urt_data.record_selection import records_by_key
from urt_train.config import TrainConfig
from urt_train.datasets.splits import open_shards
from urt_train.experiment.steps import BASE
from urt_train.stages import find_stage


class Results(NamedTuple):
    tables: list[Table]
    page: Path
    """results.md, which has these tables."""
    report: Path


def write_results(config: TrainConfig) -> Results:
    """Write both files from what has been judged on the first of `evaluation.splits`; of a pipeline's run with its costs."""
    split = config.evaluation.splits[0]
    stages = {BASE: "Base"} | {name: find_stage(name).label for name in config.stages}
    evaluations = read_evaluations(config.output_dir, stages=stages, split=split)
    others = ((label, *judge.split("/", 1)) for label, judge in config.evaluation.beside.items())
    beside = read_beside(
        {
            label: Path(config.output_root) / recipe / "evaluation" / stage / split
            for label, recipe, stage in others
            if recipe != config.recipe  # its own stages have their columns
        },
        like=evaluations,
    )
    of_stages = stage_tables({**evaluations, **beside})
    costs = read_costs(config.output_dir / "costs.json")
    tables = [*of_stages.accuracy, *of_stages.behaviour, *([cost_table(costs)] if costs else [])]
    introduction = f"Recipe {config.recipe}, judged on the split {split}. Right, with the 95 % interval in brackets."
    page = config.output_dir / "results.md"
    write_whole(page, markdown_page(f"Results of {config.recipe}", tables, introduction=introduction))
    shards = open_shards(config.data_place(split), config.data.cache)
    data = JudgedData(metadata=shards.metadata, find=partial(records_by_key, shards))
    report = write_report(config.output_dir, recipe=config.recipe, stages=stages, split=split, data=data, beside=beside)
    return Results(tables, page, report)
