"""The results of a recipe so far: its stages beside each other, in results.md and report.html of its output folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from urt_data import ShardFolder
from urt_train.config import TrainConfig
from urt_train.phases import read_costs
from urt_train.report import read_evaluations, write_report
from urt_train.tables import Table, cost_table, markdown_page, stage_tables
from urt_train.writing import write_whole


class Results(NamedTuple):
    tables: list[Table]
    page: Path
    """results.md, which has these tables."""
    report: Path


def write_results(config: TrainConfig) -> Results:
    """Write both files from what has been judged on the first of `evaluation.splits`; of a pipeline's run with its costs."""
    split = config.evaluation.splits[0]
    of_stages = stage_tables(read_evaluations(config.output_dir, split=split))
    costs = read_costs(config.output_dir / "costs.json")
    tables = [*of_stages.accuracy, *of_stages.behaviour, *([cost_table(costs)] if costs else [])]
    introduction = f"Recipe {config.recipe}, judged on the split {split}. Right, with the 95 % interval in brackets."
    page = config.output_dir / "results.md"
    write_whole(page, markdown_page(f"Results of {config.recipe}", tables, introduction=introduction))
    data = ShardFolder(config.data_dir(split))
    return Results(tables, page, write_report(config.output_dir, recipe=config.recipe, split=split, data=data))
