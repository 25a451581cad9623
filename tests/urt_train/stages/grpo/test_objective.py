"""Objectives against plain float64 sums, their gradients against finite differences, and micro-batches against the
whole."""

import math
from dataclasses import replace

import pytest
import torch

from tests.urt_train.two_steps import grpo_objective
from urt_train.config import Ratio
from urt_train.model.batching import ExperienceBatch
from urt_train.stages.grpo.config import GRPOConfig

OBJECTIVES = {
    "grpo": GRPOConfig(kl_coef=0.04),
    "dr_grpo": GRPOConfig(aggregation="dr_grpo", kl_coef=0.0, max_completion_tokens=9),
    "dapo": GRPOConfig(aggregation="dapo", kl_coef=0.0, clip_high=0.28),
    "gspo": GRPOConfig(ratio=Ratio.sequence, kl_coef=0.0, clip_low=3e-4, clip_high=4e-4),
    "cispo": GRPOConfig(surrogate="cispo", aggregation="dapo", kl_coef=0.02, clip_low=1.0, clip_high=0.1),
    "k1": GRPOConfig(kl="k1", kl_coef=0.3),
    "truncated importance": GRPOConfig(importance_cap=1.05),
}


def experience(seed: int = 0, *, num_prompts: int = 4, group_size: int = 2, length: int = 6) -> ExperienceBatch:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64) * scale

    lengths = torch.randint(1, length + 1, (num_prompts, group_size), generator=generator)
    mask = torch.arange(length) < lengths[..., None]
    rollout = -normal(num_prompts, group_size, length).abs()
    return ExperienceBatch(
        prompts={},
        completion_ids=torch.zeros(num_prompts, group_size, length, dtype=torch.long),
        completion_mask=mask,
        advantages=normal(num_prompts, group_size),
        rollout_logprobs=rollout,
        reference_logprobs=rollout + normal(num_prompts, group_size, length, scale=0.2),
        old_logprobs=rollout + normal(num_prompts, group_size, length, scale=0.1),
        num_tokens=float(mask.sum()),
        num_sequences=float(num_prompts * group_size),
    )


def fitting(batch: ExperienceBatch, config: GRPOConfig) -> ExperienceBatch:
    """Without what the objective does not ask for."""
    return replace(
        batch,
        reference_logprobs=batch.reference_logprobs if config.kl_coef else None,
        old_logprobs=batch.old_logprobs if config.importance_cap else None,
    )


def expected_loss(policy: torch.Tensor, batch: ExperienceBatch, config: GRPOConfig) -> float:
    """The formulas of the papers, one token at a time."""
    total = 0.0
    for p in range(policy.shape[0]):
        for g in range(policy.shape[1]):
            tokens = [t for t in range(policy.shape[2]) if batch.completion_mask[p, g, t]]
            old = (batch.rollout_logprobs if batch.old_logprobs is None else batch.old_logprobs)[p, g]
            advantage = batch.advantages[p, g].item()
            mean_log_ratio = sum((policy[p, g, t] - old[t]).item() for t in tokens) / len(tokens)
            losses = []
            for t in tokens:
                log_ratio = (policy[p, g, t] - old[t]).item()
                ratio = math.exp(mean_log_ratio if config.ratio is Ratio.sequence else log_ratio)
                clipped = min(max(ratio, 1 - config.clip_low), 1 + config.clip_high)
                weight = 1.0
                if batch.old_logprobs is not None:
                    assert config.importance_cap is not None
                    weight = min(math.exp((old[t] - batch.rollout_logprobs[p, g, t]).item()), config.importance_cap)
                if config.surrogate == "cispo":
                    loss = -weight * clipped * advantage * policy[p, g, t].item()
                else:
                    loss = -weight * min(ratio * advantage, clipped * advantage)
                if config.kl_coef:
                    assert batch.reference_logprobs is not None
                    d = (batch.reference_logprobs[p, g, t] - policy[p, g, t]).item()
                    loss += config.kl_coef * {"k1": -d, "k2": d * d / 2, "k3": math.exp(d) - d - 1}[config.kl]
                losses.append(loss)
            total += sum(losses) / (len(tokens) if config.aggregation == "grpo" else 1)
    divisors = {
        "grpo": batch.num_sequences,
        "dapo": batch.num_tokens,
        "dr_grpo": batch.num_sequences * config.max_completion_tokens,
    }
    return total / divisors[config.aggregation]


def policy_logprobs(batch: ExperienceBatch, seed: int = 1) -> torch.Tensor:
    noise = torch.randn(
        batch.rollout_logprobs.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    return (batch.rollout_logprobs + 0.2 * noise).requires_grad_()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objective_is_the_papers_formula(name):
    config = OBJECTIVES[name]
    batch = fitting(experience(), config)
    policy = policy_logprobs(batch)
    loss = grpo_objective(policy, batch, config).loss
    assert loss.item() == pytest.approx(expected_loss(policy, batch, config), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "cispo"])
def test_gradient_equals_finite_differences(name):
    config = OBJECTIVES[name]
    batch = fitting(experience(), config)
    policy = policy_logprobs(batch)
    [gradient] = torch.autograd.grad(grpo_objective(policy, batch, config).loss, policy)
    step = 1e-6
    for p, g, t in batch.completion_mask.nonzero().tolist():
        moved = policy.detach().clone()
        moved[p, g, t] += step
        above = expected_loss(moved, batch, config)
        moved[p, g, t] -= 2 * step
        below = expected_loss(moved, batch, config)
        assert gradient[p, g, t].item() == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-8)
    assert (gradient[~batch.completion_mask] == 0).all()


def test_cispo_keeps_the_gradient_of_clipped_tokens():
    """Its ratio is a weight: d loss / d log p = - clip(r) A / num_tokens, also where PPO's clip would cut it."""
    config = OBJECTIVES["cispo"]
    batch = replace(fitting(experience(), config), reference_logprobs=None)
    policy = policy_logprobs(batch)
    grpo_objective(policy, batch, replace(config, kl_coef=0.0)).loss.backward()
    ratio = (policy.detach() - batch.rollout_logprobs).exp().clamp(0.0, 1.1)
    expected = -ratio * batch.advantages[..., None] / batch.num_tokens * batch.completion_mask
    torch.testing.assert_close(policy.grad, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("cuts", [[4], [2, 2], [1, 1, 1, 1], [3, 1]])
def test_shares_of_micro_batches_add_up(name, cuts):
    config = OBJECTIVES[name]
    batch = fitting(experience(), config)
    whole = policy_logprobs(batch)
    loss = grpo_objective(whole, batch, config).loss
    loss.backward()
    parts = policy_logprobs(batch)
    total, first = 0.0, 0
    for count in cuts:
        rows = range(first, first + count)
        part = replace(
            batch, **{name: value[list(rows)] for name, value in batch.by_completion().items()}
        )  # the divisors stay those of the whole
        share = grpo_objective(parts[list(rows)], part, config).loss
        share.backward()
        total += share.item()
        first += count
    assert total == pytest.approx(loss.item(), rel=1e-12)
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-12, atol=1e-15)
