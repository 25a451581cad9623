"""Compute what a recipe needs, without weights, data or GPU: urt-train dry_run recipe=qwen3_vl_8b dry_run.devices=8

Prints parameters, lengths of prompts, sizes of batches, and for every stage the memory of one device, with a verdict.
The base's shape is that of a local folder, or one of those in urt_train/experiment/dry_run/shapes.
dry_run.device_memory_gib=24 and the other settings of the machine: urt-train --fields dry_run
"""

from urt_train.cli import program
from urt_train.config import TrainConfig


@program()
def main(config: TrainConfig) -> None:
    from rich.console import Console

    from urt_core.bench.tables import print_tables
    from urt_train.experiment.dry_run import dry_run  # imports torch; the config is checked by now
    from urt_train.experiment.dry_run.tables import estimate_tables, notes, remedies, summary
    from urt_train.runtime.machine import quiet

    quiet()
    console = Console()
    estimate = dry_run(config)
    print_tables(estimate_tables(estimate), console=console)
    for line in notes(estimate):
        console.print(f"- {line}", highlight=False)
    for line in [*remedies(estimate), summary(estimate)]:
        console.print(line, highlight=False, soft_wrap=True)
