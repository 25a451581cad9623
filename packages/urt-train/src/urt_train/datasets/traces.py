"""The traces of a recipe: its teacher asked about its pairs, what is kept written where the cold start looks for it."""

from __future__ import annotations

from rich.console import Console

from urt_core import Dialect, SamplingParams
from urt_data import ShardFolder
from urt_data.record_selection import select_tasks
from urt_train.config import Teacher, TrainConfig
from urt_train.datasets.distill import distill, distillation_table
from urt_train.datasets.teacher import open_teacher


def make_traces(config: TrainConfig, *, console: Console | None = None) -> None:
    wanted = config.distill
    source = ShardFolder(config.data_dir(wanted.split))
    records = select_tasks(source, tasks=wanted.tasks, per_task=wanted.pairs_per_task)
    folder = config.data_dir("cold_start")
    counts = distill(
        records,
        teacher=open_teacher(wanted, records),
        folder=folder,
        dialect=Dialect(config.judge.dialect),
        sampling=SamplingParams(temperature=wanted.temperature, max_tokens=wanted.max_tokens, seed=config.seed),
        attempts=wanted.attempts,
        direct_share=wanted.direct_share,
        concurrency=wanted.concurrency,
        journal=None if wanted.teacher is Teacher.oracle else folder.with_name(f"{folder.name}.answers.jsonl"),
        metadata=source.metadata | {"split": wanted.split, "made_from": source.manifest_sha256},
    )
    console = console or Console()
    console.print(distillation_table(counts).console())
    console.print(f"traces: {folder}", highlight=False, soft_wrap=True)
