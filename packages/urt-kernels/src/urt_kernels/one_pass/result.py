"""What the one-pass operations return."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from urt_kernels.policy_loss.result import GRPOLoss
from urt_kernels.shapes import Bool, Float


class LinearLoss(NamedTuple):
    """The loss, and what it was computed from.

    >>> result = linear_loss(hidden, weight, targets, surrogate="nll", mask=mask, temperature=1.0)
    >>> result.loss.backward()
    >>> result.top1[mask].float().mean()        # share of tokens that greedy decoding would have chosen
    """

    loss: Float[Tensor, ""]
    """Differentiable in hidden, weight and bias."""
    policy_logprobs: Float[Tensor, "*N"]
    """Log-probs of the targets, 0 outside the mask; no gradient."""
    entropy: Float[Tensor, "*N"] | None
    """Entropies in nats, no gradient; None where neither ``entropy`` nor ``entropy_coef`` asks for them."""
    top1: Bool[Tensor, "*N"]
    """Whether no logit is above the target's; False outside the mask."""
    sums: GRPOLoss | None
    """The sums that `grpo_loss` reports (no gradient); None without rollout log-probs and advantages."""


class LinearGRPOLoss(NamedTuple):
    """The loss, and what it was computed from.

    >>> result = linear_grpo_loss(hidden, weight, targets, rollout_logprobs, advantages, mask, temperature=1.0)
    >>> result.loss.backward()
    >>> result.sums.clip_high_sum / result.sums.num_tokens
    """

    loss: Float[Tensor, ""]
    """Differentiable in hidden, weight and bias."""
    policy_logprobs: Float[Tensor, "*N"]
    """Log-probs of the targets, 0 outside the completion mask; no gradient."""
    sums: GRPOLoss
    """The same loss (no gradient) with the sums that `grpo_loss` reports."""
