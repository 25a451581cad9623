"""A run of GRPO on the first records, through Lightning's own loop, and what it leaves to look at."""

from functools import partial

import torch

from urt_train.config import TrainConfig, TrainerConfig
from urt_train.runtime.machine import make_trainer
from urt_train.stages import train_config
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.module import GRPO

ON_CPU = train_config()(trainer=TrainerConfig(accelerator="cpu", progress_bar=False))


class Recorded(GRPO):
    """Keeps the gradient of each optimizer step."""

    def on_train_start(self) -> None:
        self.gradients: list[torch.Tensor] = []

    def configure_gradient_clipping(self, optimizer, *args, **kwargs) -> None:
        gradients = [parameter.grad for parameter in self.policy.parameters()]
        self.gradients.append(torch.cat([gradient.flatten() for gradient in gradients if gradient is not None]))
        super().configure_gradient_clipping(optimizer, *args, **kwargs)


def settings(**changes) -> GRPOConfig:
    defaults = {
        "prompts_per_rollout": 2,
        "group_size": 4,
        "micro_batch_size": 8,
        "max_completion_tokens": 10,
        "learning_rate": 1e-3,
    }
    return GRPOConfig(**{**defaults, **changes})


def train(
    policy, records, config: GRPOConfig, *, num_rollouts: int = 1, edit=None, reward=None, machine: TrainConfig = ON_CPU
) -> Recorded:
    """Some rollouts on the first records, whose completions a random model makes; `reward` replaces what they earn."""
    policy.batching = config.batching
    plan = config.plan(num_ranks=1)
    module = Recorded(
        policy,
        config,
        engine=policy.engine(),
        reference=policy.reference() if config.kl_coef else None,
        plan=plan,
        num_steps=num_rollouts * plan.steps_per_round,
        seed=0,
    )
    if reward is not None:
        earned = module.advantages

        def advantages(rewards):
            earned(rewards)  # counts the groups
            return reward(rewards)

        module.advantages = advantages
    trainer = make_trainer(machine.trainer, strategy=machine.strategy)
    trainer.accumulate_grad_batches = plan.batches_per_step

    class Loader:
        def __len__(self):
            return num_rollouts * plan.batches_per_round

        def __iter__(self):
            for number in range(num_rollouts):
                drawn = records[number * plan.records_per_rank :][: plan.records_per_rank]
                for batch in module.make_round(partial(list, drawn), number):
                    yield batch if edit is None else edit(batch)

    trainer.fit(module, train_dataloaders=Loader())
    return module


def sampler(fresh, config: GRPOConfig) -> GRPO:
    """A module that samples and is never fitted."""
    plan = config.plan(num_ranks=1)
    return GRPO(fresh(), config, engine=fresh().engine(), reference=None, plan=plan, num_steps=1, seed=0)


def by_token_count(rewards) -> torch.Tensor:
    """Advantages that differ within each group, though no random completion can be read."""
    return torch.linspace(-1, 1, rewards.values[..., 0].numel()).reshape(rewards.values.shape[:2])
