"""The data of a recipe before its first stage: the pairs that it makes itself, and its teacher's traces about them."""

from __future__ import annotations

from rich.console import Console

from urt_core import Dialect, SamplingParams
from urt_data import ShardWriter
from urt_data.licences import check_licences
from urt_data.record_selection import JoinedRecords, select_tasks
from urt_data.sprites import build_split
from urt_train.config import Teacher, TrainConfig
from urt_train.datasets.distill import distill, distillation_table
from urt_train.datasets.pool_pairs import MADE_FROM
from urt_train.datasets.splits import open_shards, refuse_to_replace
from urt_train.datasets.teacher import opened_teacher


def make_pairs(config: TrainConfig) -> None:
    for split, counts in config.data.counts.items():
        folder = config.data_dir(split)
        refuse_to_replace(folder, split, mark="seed")
        metadata = {"source": "sprites", "split": split, "seed": config.seed}
        with ShardWriter(folder, metadata=metadata, overwrite=True) as shards:
            for record in build_split(split, counts, seed=config.seed):
                shards.write(record)
        print(f"{sum(counts.values()):,} {split} pairs in {folder}")


def make_traces(config: TrainConfig, *, console: Console | None = None) -> None:
    wanted = config.distill
    splits = (wanted.split, *wanted.further)
    sources = [open_shards(config.data_place(split), config.data.cache) for split in splits]
    check_licences(sources, allow_noncommercial=config.data.allow_noncommercial, allow_evaluation=False)
    records = JoinedRecords(
        [select_tasks(source, tasks=wanted.tasks, per_task=wanted.pairs_per_task) for source in sources]
    )
    folder = config.data_dir("cold_start")
    refuse_to_replace(folder, "cold_start", mark="distillation")
    with opened_teacher(wanted, records) as teacher:
        counts = distill(
            records,
            teacher=teacher,
            folder=folder,
            dialect=Dialect(config.judge.dialect),
            sampling=SamplingParams(temperature=wanted.temperature, max_tokens=wanted.max_tokens, seed=config.seed),
            attempts=wanted.attempts,
            direct_share=wanted.direct_share,
            journal=None if wanted.teacher is Teacher.oracle else folder.with_name(f"{folder.name}.answers"),
            metadata=sources[0].metadata
            | {"split": "+".join(splits), MADE_FROM: [source.manifest_sha256 for source in sources]},
        )
    console = console or Console()
    console.print(distillation_table(counts).console())
    console.print(f"traces: {folder}", highlight=False, soft_wrap=True)
