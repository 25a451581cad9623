"""Run one training stage of a recipe; the other programs are named below.

    urt-train stage=cold_start | rejection_sampling | grpo | dpo | internalise
    urt-train stage=grpo grpo.group_size=4 grpo.learning_rate=1e-5
    torchrun --nproc-per-node 8 -m urt_train recipe=qwen3_vl_8b stage=grpo data.train=<folder of shards>

An interrupted stage goes on where it was stopped; a finished one is left alone.

    urt-train pipeline        all stages of a recipe, with an evaluation before and after each, and the report
    urt-train prepare_data    the pairs of the embedded world
    urt-train distill         a teacher's judgements, for the cold start
    urt-train sample          the judged pool, without training on it
    urt-train evaluate        a judge on held-out pairs
    urt-train dry_run         shapes and memory, before anything is loaded

Each takes the same settings, and says more with --help.
"""

from urt_train.cli import program
from urt_train.config import TrainConfig


@program()
def main(config: TrainConfig) -> None:
    from urt_train.experiment.work import run_missing

    run_missing(config, config.stage)

    from urt_train.experiment.run import (
        run_stage,  # imports torch; everything that can be checked without it is checked by now
    )

    run_stage(config)
