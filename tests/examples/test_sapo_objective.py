"""An objective of a user's own, by its import path, against its formula in float64."""

from typing import Any

import pytest
import torch

from urt_kernels import grpo_loss
from urt_train.cli import compose

B, T = 6, 5


@pytest.fixture
def batch() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    old = -3 * torch.rand(B, T, generator=generator, dtype=torch.float64)
    return {
        "policy": old + 0.5 * torch.randn(B, T, generator=generator, dtype=torch.float64),
        "old": old,
        "advantages": torch.randn(B, generator=generator, dtype=torch.float64),
        "mask": torch.arange(T) < torch.tensor([5, 3, 1, 4, 5, 2])[:, None],
    }


def test_loss_and_gradient_are_those_of_the_paper(copied, batch: dict[str, torch.Tensor]) -> None:
    copied("sapo_objective")
    policy = batch["policy"].clone().requires_grad_()
    result = grpo_loss(
        policy, batch["old"], batch["advantages"], batch["mask"], surrogate="sapo_objective:sapo", aggregation="dapo"
    )
    result.loss.backward()
    expected = torch.zeros((), dtype=torch.float64)
    exact = batch["policy"].clone().requires_grad_()
    for b, t in batch["mask"].nonzero().tolist():
        ratio, advantage = (exact[b, t] - batch["old"][b, t]).exp(), batch["advantages"][b]
        tau = 1.0 if advantage > 0 else 1.05
        expected = expected - 4 / tau / (1 + (-tau * (ratio - 1)).exp()) * advantage
    expected = expected / batch["mask"].sum()
    expected.backward()
    torch.testing.assert_close(result.loss, expected, rtol=1e-12, atol=1e-12, check_dtype=False)
    torch.testing.assert_close(policy.grad, exact.grad, rtol=1e-12, atol=1e-12)


def test_on_policy_it_is_the_policy_gradient(copied, batch: dict[str, torch.Tensor]) -> None:
    """At ratio 1 the gate's slope is 1: the gradient of every other objective."""
    copied("sapo_objective")
    gradients = []
    for surrogate in ("sapo_objective:sapo", "clip"):
        policy = batch["old"].clone().requires_grad_()
        grpo_loss(policy, batch["old"], batch["advantages"], batch["mask"], surrogate=surrogate).loss.backward()
        gradients.append(policy.grad)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-12, atol=1e-12)


def test_the_trainer_takes_it_from_the_command_line(copied) -> None:
    copied("sapo_objective")
    settings: Any = compose(["stage=grpo", "grpo.surrogate=sapo_objective:sapo"]).stage_config
    assert settings.surrogate == "sapo_objective:sapo"
