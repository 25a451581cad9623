"""Run by torchrun from test_ranks.py: judge a pool of five batches with sharded weights, three on one rank and two on
the other.

torchrun --nproc-per-node 2 two_ranks_judge.py <model folder> <judge.json folder> <shards> <journals>
"""

import sys
from pathlib import Path

from two_ranks import STRATEGIES

from urt_core import JudgeSpec
from urt_data import ShardFolder
from urt_data.record_selection import select_tasks
from urt_train.config import TrainerConfig
from urt_train.model.policy import Policy
from urt_train.runtime.machine import make_trainer
from urt_train.stages import train_config
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig
from urt_train.stages.rejection_sampling.judge import PoolJudge
from urt_train.stages.rejection_sampling.pool import PoolBatches


def main(folder: str, spec: str, shards: str, journals: str) -> None:
    config = train_config()(strategy=STRATEGIES["fsdp2"], trainer=TrainerConfig(accelerator="cpu"))
    trainer = make_trainer(config.trainer, strategy=config.strategy)
    policy = Policy.from_pretrained(folder, spec=JudgeSpec.load(spec))
    settings = RejectionSamplingConfig(max_completion_tokens=4, num_samples=1)
    pool = PoolBatches(select_tasks(ShardFolder(shards), tasks=settings.tasks), size=2, swap_seed=None)
    journal = Path(journals) / f"rank_{trainer.global_rank}.jsonl"
    module = PoolJudge(policy, settings, engine=policy.engine(), journal=journal)
    share = pool.unjudged((), rank=trainer.global_rank, num_ranks=trainer.world_size)
    trainer.predict(module, dataloaders=share, return_predictions=False)
    trainer.strategy.barrier()


if __name__ == "__main__":
    main(*sys.argv[1:])
