"""What linear_grpo_loss returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from urt_kernels.grpo_loss.result import GRPOLoss
from urt_kernels.shapes import Float


class LinearGRPOLoss(NamedTuple):
    """The loss, and what it was computed from.

    >>> result = linear_grpo_loss(hidden, weight, targets, rollout_logprobs, advantages, mask, temperature=1.0)
    >>> result.loss.backward()
    >>> result.sums.clip_high_sum / result.sums.num_tokens
    """

    loss: Float[Tensor, ""]
    """Differentiable in hidden, weight and bias."""
    policy_logprobs: Float[Tensor, "B T"]
    """Log-probs of the targets, 0 outside the completion mask; no gradient."""
    sums: GRPOLoss
    """The same loss (no gradient) with the sums that `grpo_loss` reports."""
