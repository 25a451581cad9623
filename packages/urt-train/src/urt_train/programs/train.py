"""Run one training stage of a recipe.

    urt-train stage=cold_start | rejection_sampling | grpo | dpo
    urt-train stage=grpo grpo.group_size=4 grpo.learning_rate=1e-5
    torchrun --nproc-per-node 8 -m urt_train recipe=qwen3_vl_8b stage=grpo data.train=<folder of shards>

An interrupted stage goes on where it was stopped; a finished one is left alone.
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
