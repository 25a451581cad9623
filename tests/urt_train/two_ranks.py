"""Run by torchrun from test_ranks.py: one optimizer step on this rank's share of a fixed batch, under each of some
strategies, the same processes for all.

torchrun --nproc-per-node 2 two_ranks.py <model folder> <judge.json folder> <batch> <output folder>
<strategy>[-<tokens of a micro-batch>] ...
"""

import sys
from pathlib import Path

import torch

from urt_core import JudgeSpec
from urt_train.config import Batching, TrainerConfig
from urt_train.model.batching import ExperienceBatch
from urt_train.model.policy import Policy
from urt_train.runtime.machine import make_trainer
from urt_train.stages import train_config
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.module import GRPO

STRATEGIES = {
    "none": {},
    "ddp": {"_target_": "lightning.pytorch.strategies.DDPStrategy", "process_group_backend": "gloo"},
    "fsdp2": {
        "_target_": "lightning.pytorch.strategies.ModelParallelStrategy",
        "process_group_backend": "gloo",
        "data_parallel_size": "auto",
        "tensor_parallel_size": 1,
    },
}
STRATEGIES["hsdp"] = {**STRATEGIES["fsdp2"], "shard_over": 2}


class Recorded(GRPO):
    gradients: dict[str, torch.Tensor]

    def configure_gradient_clipping(self, optimizer, *args, **kwargs) -> None:
        whole = {name: parameter.grad for name, parameter in self.policy.model.named_parameters()}
        self.gradients = {
            name: (gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient).clone()
            for name, gradient in whole.items()
        }
        super().configure_gradient_clipping(optimizer, *args, **kwargs)


def fixed_batch(policy: Policy, batches: Path) -> ExperienceBatch:
    return ExperienceBatch(**torch.load(batches, weights_only=True))


def main(folder: str, spec: str, batch_file: str, output: str, *cases: str) -> None:
    for case in cases:
        strategy, _, tokens = case.partition("-")
        take_step(folder, spec, batch_file, strategy, tokens, output=f"{output}/{case}.pt")


def take_step(folder: str, spec: str, batch_file: str, strategy: str, tokens: str, *, output: str) -> None:
    policy = Policy.from_pretrained(folder, spec=JudgeSpec.load(spec), batching=Batching.shared_prefix).train()
    config = train_config()(strategy=STRATEGIES[strategy], trainer=TrainerConfig(accelerator="cpu"))
    trainer = make_trainer(config.trainer, strategy=config.strategy)
    settings = GRPOConfig(
        prompts_per_rollout=4,
        group_size=2,
        micro_batch_size=4,
        micro_batch_tokens=int(tokens) if tokens else None,
        kl_coef=0.1,
        max_completion_tokens=10,
    )
    plan = settings.plan(num_ranks=trainer.world_size)
    module = Recorded(
        policy, settings, engine=policy.engine(), reference=policy.reference(), plan=plan, num_steps=1, seed=0
    )
    trainer.accumulate_grad_batches = plan.batches_per_step
    whole = fixed_batch(policy, Path(batch_file))
    computed: list[list[int]] = []

    class Loader:
        def __len__(self):
            return plan.batches_per_round

        def __iter__(self):
            first = trainer.global_rank * plan.records_per_rank
            own = whole.select(range(first, first + plan.records_per_rank))
            [step] = module.with_divisors([own])
            batches = module.micro_batches(step)
            computed.append([batch.completion_ids.shape[0] for batch in batches if not batch.is_skipped])
            yield from map(module.with_frozen_logprobs, batches)

    trainer.fit(module, train_dataloaders=Loader())
    weights = policy.whole_state()
    if trainer.is_global_zero:
        result = {"gradients": module.gradients, "weights": weights, "norm": module.grad_norm, "computed": computed}
        torch.save(result, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
