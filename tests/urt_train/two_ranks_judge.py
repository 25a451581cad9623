"""Run by torchrun from test_ranks.py: judge a pool of five batches with sharded weights, three on one rank and two on
the other.

torchrun --nproc-per-node 2 two_ranks_judge.py <model folder> <judge.json folder> <shards> <journals>
"""

import sys

from two_ranks import STRATEGIES

from urt_core import JudgeSpec
from urt_core.judging.journal import Journal
from urt_core.judging.share import Share
from urt_data import ShardFolder
from urt_data.record_selection import select_tasks
from urt_train.config import TrainerConfig
from urt_train.model.policy import Policy
from urt_train.runtime.machine import make_trainer
from urt_train.stages import train_config
from urt_train.stages.pool_judge import OneBatch, PoolJudge
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig
from urt_train.stages.rejection_sampling.pool import asked


def main(folder: str, spec: str, shards: str, journals: str) -> None:
    config = train_config()(strategy=STRATEGIES["fsdp2"], trainer=TrainerConfig(accelerator="cpu"))
    trainer = make_trainer(config.trainer, strategy=config.strategy)
    policy = Policy.from_pretrained(folder, spec=JudgeSpec.load(spec))
    settings = RejectionSamplingConfig(max_completion_tokens=4, num_samples=1, judge_batch_size=2)
    pool = select_tasks(ShardFolder(shards), tasks=settings.tasks)
    share = Share(rank=trainer.global_rank, num=trainer.world_size)
    with Journal(journals, about={}, rank=share.rank) as journal:
        module = PoolJudge(
            policy,
            asked=asked(settings, dialect=policy.spec.dialect, seed=0),
            block=settings.judge_batch_size,
            engine=policy.engine(),
            journal=journal,
            share=share,
        )
        trainer.predict(module, dataloaders=OneBatch(pool), return_predictions=False)
    trainer.strategy.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
