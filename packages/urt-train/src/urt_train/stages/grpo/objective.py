"""The objective of GRPO on the log-probs of its batch: this micro-batch's share of the loss of the whole optimizer step. The divisors
in the batch count all micro-batches and ranks, so the shares add up however the step is cut."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from urt_kernels import GRPOLoss, grpo_loss
from urt_train.config import Surrogate
from urt_train.model.batching import ExperienceBatch
from urt_train.stages.grpo.config import GRPOConfig


def grpo_objective(policy_logprobs: Float[Tensor, "P G C"], batch: ExperienceBatch, config: GRPOConfig) -> GRPOLoss:
    """The clipped surrogate with its KL term, in the variant that `config` names; the formulas stand in `urt_kernels.grpo_loss`."""
    policy, rollout = policy_logprobs.flatten(0, 1), batch.rollout_logprobs.flatten(0, 1)
    old, reference = _flat(batch.old_logprobs), _flat(batch.reference_logprobs)
    advantages, mask = batch.advantages.flatten(), batch.completion_mask.flatten(0, 1)
    loss = partial(
        grpo_loss,
        policy,
        rollout,
        completion_mask=mask,
        reference_logprobs=reference,
        old_logprobs=old,
        clip_low=config.clip_low,
        clip_high=config.clip_high,
        importance_cap=config.importance_cap or 2.0,
        kl_coef=config.kl_coef,
        kl=config.kl,
        ratio=config.ratio.value,
        aggregation=config.aggregation,
        **_divisor(batch, config),
    )
    result = loss(advantages=advantages)
    if config.surrogate is Surrogate.clip:
        return result
    importance = 1.0 if old is None else (old - rollout).exp().clamp(max=config.importance_cap or 2.0)
    surrogate = cispo_surrogate(
        policy,
        rollout if old is None else old,
        importance * advantages[:, None],
        mask,
        clip_low=config.clip_low,
        clip_high=config.clip_high,
    )
    kl_alone = loss(advantages=torch.zeros_like(advantages)).loss
    return result._replace(loss=kl_alone + _aggregate(surrogate, mask, batch, config))


def cispo_surrogate(
    policy: Float[Tensor, "B T"],
    old: Float[Tensor, "B T"],
    advantages: Float[Tensor, " B #T"],
    mask: Bool[Tensor, "B T"],
    *,
    clip_low: float,
    clip_high: float,
) -> Float[Tensor, "B T"]:
    """- clip(r, 1 - clip_low, 1 + clip_high) A log p per token, the ratio without gradient (CISPO, arXiv 2506.13585, eq. 4 and 5)."""
    ratio = torch.where(mask, policy.detach() - old, 0.0).clamp(-20, 20).exp()
    weight = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return -torch.where(mask, weight * policy, 0.0)


def _aggregate(
    values: Float[Tensor, "B T"], mask: Bool[Tensor, "B T"], batch: ExperienceBatch, config: GRPOConfig
) -> Float[Tensor, ""]:
    """As `grpo_loss` aggregates."""
    if config.aggregation == "grpo":
        values = values / mask.sum(-1, keepdim=True).clamp(min=1)
    (divisor,) = _divisor(batch, config).values()
    return values.sum() / divisor


def _divisor(batch: ExperienceBatch, config: GRPOConfig) -> dict[str, float]:
    """What the aggregation divides by, over the whole optimizer step."""
    if config.aggregation == "grpo":
        return {"num_sequences": max(batch.num_sequences, 1.0)}
    if config.aggregation == "dapo":
        return {"num_tokens": max(batch.num_tokens, 1.0)}
    return {"num_tokens": max(batch.num_sequences, 1.0) * config.max_completion_tokens}


def _flat(values: Tensor | None) -> Tensor | None:
    return None if values is None else values.flatten(0, 1)
