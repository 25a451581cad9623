"""Ask a teacher about labelled pairs and keep the judgements whose verdict is the label: what the cold start imitates.

    python apps/distill.py recipe=qwen3_vl_8b data.train=<folder of shards> distill.model=gpt-4o
    python apps/distill.py recipe=qwen3_vl_8b data.train=<folder of shards> distill.base_url=http://localhost:8000/v1 distill.model=<name>

What was answered is kept: started again, it asks only about the rest.
"""

from pathlib import Path

from urt_train.config import Teacher, TrainConfig
from urt_train.program import program


@program(Path(__file__).parent / "configs", is_single=True)
def main(config: TrainConfig) -> None:
    from urt_train.order import run_missing

    run_missing(config, "distill")

    from rich.console import Console

    from urt_core import Dialect, SamplingParams
    from urt_data import ShardFolder
    from urt_train.distill import distill, distillation_table
    from urt_train.selection import select_tasks
    from urt_train.teacher import open_teacher

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
    console = Console()
    console.print(distillation_table(counts).console())
    console.print(f"traces: {folder}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    main()
