"""GRPO training of a tiny model through either implementation: the same loss curve, the same weights."""

from functools import partial
from typing import Any

import pytest
import torch

from tests.urt_train import conftest as tiny
from urt_kernels import group_advantages, linear_loss, linear_token_logprobs
from urt_kernels.dispatch import Impl
from urt_train.config import TrainerConfig
from urt_train.model.policy import Policy
from urt_train.runtime.machine import make_trainer
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.module import GRPO

tiny_folder, spec, records = tiny.tiny_folder, tiny.spec, tiny.records
NUM_ROLLOUTS = 2


class Recorded(GRPO):
    """Keeps the loss of each micro-batch; completions of a random model earn nothing, so their order decides
    instead."""

    impl: Any = "reference"

    def on_train_start(self) -> None:
        self.losses: list[float] = []

    def advantages(self, rewards: Any) -> torch.Tensor:
        invented = torch.linspace(0, 1, rewards.values[..., 0].numel()).reshape(rewards.values.shape[:2]).square()
        return group_advantages(invented, impl=self.impl).advantages

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.losses.append(loss.item())
        return loss


def trained(folder: Any, spec: Any, records: Any, impl: Impl, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Two rollouts of two optimizer steps each, every kernel of the loss head computed by `impl`."""
    monkeypatch.setattr("urt_train.model.policy.linear_token_logprobs", partial(linear_token_logprobs, impl=impl))
    monkeypatch.setattr("urt_train.model.policy.linear_loss", partial(linear_loss, impl=impl))
    config = GRPOConfig(
        prompts_per_rollout=2,
        group_size=3,
        micro_batch_size=6,
        steps_per_rollout=2,
        max_completion_tokens=5,
        learning_rate=3e-3,
        kl_coef=0.1,
    )
    policy = Policy.from_pretrained(folder, spec=spec).train()
    plan = config.plan(num_ranks=1)
    module = Recorded(
        policy,
        config,
        engine=policy.engine(),
        reference=policy.reference(),
        plan=plan,
        num_steps=NUM_ROLLOUTS * plan.steps_per_round,
        seed=0,
    )
    module.impl = impl
    trainer = make_trainer(TrainerConfig(accelerator="cpu", progress_bar=False))
    trainer.accumulate_grad_batches = plan.batches_per_step

    class Loader:
        def __len__(self) -> int:
            return NUM_ROLLOUTS * plan.batches_per_round

        def __iter__(self):
            for number in range(NUM_ROLLOUTS):
                drawn = records[number * plan.records_per_rank :][: plan.records_per_rank]
                yield from module.make_round(partial(list, drawn), number)

    trainer.fit(module, train_dataloaders=Loader())
    return module


def test_grpo_gives_the_same_loss_curve_with_either_implementation(device, tiny_folder, spec, records, monkeypatch):
    ours, reference = (trained(tiny_folder, spec, records, impl, monkeypatch) for impl in ("triton", "reference"))
    assert len(ours.losses) == len(reference.losses) >= 4
    assert max(reference.losses) - min(reference.losses) > 1e-2, "a flat curve would prove nothing"
    torch.testing.assert_close(torch.tensor(ours.losses), torch.tensor(reference.losses), atol=1e-5, rtol=1e-4)
    for mine, other in zip(ours.policy.parameters(), reference.policy.parameters(), strict=True):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-3)
