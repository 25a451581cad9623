"""Judge the pool and write the accepted and the hard shard, without training on them.

    urt-train sample recipe=tiny
    torchrun --nproc-per-node 8 -m urt_train sample recipe=qwen3_vl_8b data.pool=<folder of shards>

It is the first half of stage=rejection_sampling, which then finds both shards.
"""

from dataclasses import replace

from urt_train.cli import program
from urt_train.config import TrainConfig


@program()
def main(config: TrainConfig) -> None:
    from urt_train.experiment.work import run_missing

    config = replace(config, stage="rejection_sampling")
    run_missing(config, config.stage)

    from urt_train.experiment.run import (
        prepare_stage,  # imports torch; everything that can be checked without it is checked by now
    )

    prepare_stage(config)
