"""grpo_loss against the formulas written with autograd in fp64."""

from typing import Any

import pytest
import torch

from urt_kernels import grpo_loss


@pytest.fixture
def batch() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(7) < torch.tensor([7, 3, 1, 5])[:, None]

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    return {
        "policy_logprobs": (normal(4, 7) * 0.4).requires_grad_(),
        "rollout_logprobs": normal(4, 7) * 0.4,
        "reference_logprobs": normal(4, 7) * 0.4,
        "advantages": normal(4),
        "completion_mask": mask,
    }


def expected(batch, *, clip_low, clip_high, kl_coef, aggregation):
    policy, mask = batch["policy_logprobs"], batch["completion_mask"].double()
    ratio = (policy - batch["rollout_logprobs"]).exp()
    advantages = batch["advantages"][:, None]
    objective = torch.minimum(ratio * advantages, ratio.clamp(1 - clip_low, 1 + clip_high) * advantages)
    d = batch["reference_logprobs"] - policy
    per_token = (-objective + kl_coef * (d.exp() - d - 1)) * mask
    if aggregation == "grpo":
        return (per_token.sum(-1) / mask.sum(-1)).mean()
    return per_token.sum() / (mask.sum() if aggregation == "dapo" else mask.numel())


@pytest.mark.parametrize("aggregation", ["grpo", "dapo", "dr_grpo"])
def test_loss_and_gradient(batch: dict[str, Any], aggregation: Any):
    settings: dict[str, Any] = {"clip_low": 0.2, "clip_high": 0.28, "kl_coef": 0.04, "aggregation": aggregation}
    result = grpo_loss(**batch, **settings)
    reference = expected(batch, **settings)
    torch.testing.assert_close(result.loss, reference)
    (gradient,) = torch.autograd.grad(result.loss, batch["policy_logprobs"])
    (reference_gradient,) = torch.autograd.grad(reference, batch["policy_logprobs"])
    torch.testing.assert_close(gradient, reference_gradient)


@pytest.mark.parametrize("aggregation", ["grpo", "dapo", "dr_grpo"])
def test_micro_batches_add_up_under_the_global_divisor(batch: dict[str, Any], aggregation: Any):
    divisor: dict[str, Any] = {"num_sequences": 4} if aggregation == "grpo" else {"num_tokens": torch.tensor(16)}
    whole = grpo_loss(**batch, kl_coef=0.04, aggregation=aggregation, **divisor)
    parts = [
        grpo_loss(
            **{name: values[rows] for name, values in batch.items()},
            kl_coef=0.04,
            aggregation=aggregation,
            **divisor,
        )
        for rows in (slice(0, 1), slice(1, 4))
    ]
    torch.testing.assert_close(torch.stack([part.loss for part in parts]).sum(), whole.loss)
    torch.testing.assert_close(torch.stack([part.kl_sum for part in parts]).sum(), whole.kl_sum)
    torch.testing.assert_close(torch.stack([part.clip_high_sum for part in parts]).sum(), whole.clip_high_sum)
