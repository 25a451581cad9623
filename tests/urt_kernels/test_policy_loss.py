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


def test_on_policy_loss_is_minus_the_mean_advantage(batch: dict[str, Any]):
    batch = {**batch, "rollout_logprobs": batch["policy_logprobs"].detach()}
    result = grpo_loss(**batch)
    torch.testing.assert_close(result.loss, -batch["advantages"].mean())
    assert result.ratio_sum == result.num_tokens == 16
    assert result.clip_high_sum == result.clip_low_sum == result.log_ratio_sum == 0


def test_padding_may_hold_anything(batch: dict[str, Any]):
    outside = ~batch["completion_mask"]
    expected = grpo_loss(**batch, kl_coef=0.1)
    for value in (torch.nan, torch.inf, -torch.inf, 1e30):
        names = ("policy_logprobs", "rollout_logprobs", "reference_logprobs")
        padded = {name: batch[name].masked_fill(outside, value) for name in names}
        result = grpo_loss(**{**batch, **padded}, kl_coef=0.1)
        assert torch.equal(result.loss, expected.loss)
        (gradient,) = torch.autograd.grad(result.loss, padded["policy_logprobs"])
        assert gradient.isfinite().all()


@pytest.mark.parametrize("mask_dtype", [torch.bool, torch.int64, torch.float32])
def test_mask_of_any_type(batch: dict[str, Any], mask_dtype: torch.dtype):
    mask = batch["completion_mask"]
    assert torch.equal(grpo_loss(**{**batch, "completion_mask": mask.to(mask_dtype)}).loss, grpo_loss(**batch).loss)


def test_a_sequence_without_completion_does_not_count(batch: dict[str, Any]):
    whole = grpo_loss(**{name: values[:2] for name, values in batch.items()})
    mask = batch["completion_mask"].clone()
    mask[2:] = False
    torch.testing.assert_close(grpo_loss(**{**batch, "completion_mask": mask}).loss, whole.loss)
    batch["completion_mask"] = torch.zeros_like(mask)
    assert grpo_loss(**batch).loss == 0


@pytest.mark.parametrize("kl", ["k1", "k2", "k3"])
@pytest.mark.parametrize("aggregation", ["grpo", "dapo"])
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_gradcheck(batch: dict[str, Any], kl: Any, aggregation: Any, ratio: Any):
    policy = batch.pop("policy_logprobs")
    old = torch.randn(4, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(3)) * 0.4

    def loss(policy):
        settings: dict[str, Any] = {"kl": kl, "aggregation": aggregation, "ratio": ratio}
        return grpo_loss(policy, **batch, old_logprobs=old, kl_coef=0.3, dual_clip=1.3, **settings).loss

    assert torch.autograd.gradcheck(loss, policy)


def test_sequence_ratio_is_the_geometric_mean(batch: dict[str, Any]):
    mask, difference = batch["completion_mask"], batch["policy_logprobs"] - batch["rollout_logprobs"]
    ratios = ((difference * mask).sum(-1) / mask.sum(-1)).exp()
    result = grpo_loss(**batch, ratio="sequence", clip_low=1.0, clip_high=100.0)
    torch.testing.assert_close(result.loss, -(ratios * batch["advantages"]).mean())


def one_token(log_ratio: float, advantage: float, **settings: Any):
    policy = torch.tensor([[log_ratio]], dtype=torch.float64, requires_grad=True)
    zeros, ones = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1)
    result = grpo_loss(policy, zeros, torch.tensor([advantage], dtype=torch.float64), ones, **settings)
    return result, torch.autograd.grad(result.loss, policy)[0].item()


def test_each_clip_is_counted_and_cuts_the_gradient():
    result, gradient = one_token(0.5, 1.0, clip_high=0.28)
    assert (result.clip_high_sum, gradient) == (1, 0)
    torch.testing.assert_close(result.loss.item(), -1.28)
    result, gradient = one_token(-0.5, -1.0)
    assert (result.clip_low_sum, gradient) == (1, 0)
    torch.testing.assert_close(result.loss.item(), 0.8)
    result, gradient = one_token(2.0, -1.0)
    assert result.clip_low_sum == result.clip_high_sum == 0
    assert gradient > 7
    result, gradient = one_token(2.0, -1.0, dual_clip=3.0)
    assert (result.dual_clip_sum, gradient) == (1, 0)
    torch.testing.assert_close(result.loss.item(), 3.0)


def test_a_hopeless_ratio_stays_finite():
    result, gradient = one_token(500.0, -1.0)
    assert result.loss.isfinite()
    assert gradient == 0


def test_importance_weights_are_truncated():
    zeros, ones = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2)
    rollout = torch.tensor([[-3.0, 0.5]], dtype=torch.float64)
    advantages = torch.ones(1, dtype=torch.float64)
    result = grpo_loss(zeros, rollout, advantages, ones, old_logprobs=zeros, importance_cap=2.0, aggregation="dapo")
    weight = torch.tensor(-0.5, dtype=torch.float64).exp()
    torch.testing.assert_close(result.importance_sum, 2.0 + weight)
    torch.testing.assert_close(result.loss, -(2.0 + weight) / 2)
    assert result.importance_cap_sum == 1


@pytest.mark.parametrize(("kl", "value"), [("k1", -1.0), ("k2", 0.5), ("k3", 0.71828183)])
def test_kl_estimates(kl: Any, value: float):
    zeros, ones = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1)
    result = grpo_loss(zeros, zeros, torch.zeros(1).double(), ones, reference_logprobs=zeros + 1, kl=kl)
    torch.testing.assert_close(result.kl_sum.item(), value)
    clamped = grpo_loss(zeros, zeros, torch.zeros(1).double(), ones, reference_logprobs=zeros + 1, kl=kl, kl_clamp=0.25)
    assert abs(clamped.kl_sum.item()) == 0.25
