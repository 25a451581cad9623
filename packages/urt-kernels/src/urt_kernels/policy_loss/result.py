"""What grpo_loss returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from urt_kernels.shapes import Float


class GRPOLoss(NamedTuple):
    """The loss, and sums over the completion tokens of this call (0-d tensors, no gradient).

    Sums, not means: add them over micro-batches and ranks, then divide by the summed ``num_tokens``.

    >>> result = grpo_loss(logprobs, logprobs.detach(), torch.tensor([1.0, -1.0]), mask)
    >>> result.loss                                  # tensor(0.)
    >>> result.clip_high_sum / result.num_tokens     # fraction of tokens clipped from above
    """

    loss: Float[Tensor, ""]
    """Differentiable in the policy log-probs; already divided by the normaliser."""
    num_tokens: Float[Tensor, ""]
    """Completion tokens."""
    num_sequences: Float[Tensor, ""]
    """Sequences with at least one completion token."""
    policy_sum: Float[Tensor, ""]
    """Sum of the clipped policy term (before the normaliser)."""
    kl_sum: Float[Tensor, ""]
    """Sum of the KL estimate to the reference policy; 0 without reference log-probs."""
    ratio_sum: Float[Tensor, ""]
    """Sum of the importance ratios (token or sequence level)."""
    ratio_max: Float[Tensor, ""]
    """Highest ratio; combine with max. 0 without tokens."""
    log_ratio_sum: Float[Tensor, ""]
    """Sum of policy minus old log-prob: minus the k1 estimate of KL(old || policy)."""
    clip_low_sum: Float[Tensor, ""]
    """Tokens whose gradient is cut because the ratio is below 1 - clip_low and the advantage negative."""
    clip_high_sum: Float[Tensor, ""]
    """Tokens whose gradient is cut because the ratio is above 1 + clip_high and the advantage positive."""
    dual_clip_sum: Float[Tensor, ""]
    """Tokens whose gradient is cut by the dual clip."""
    importance_sum: Float[Tensor, ""]
    """Sum of the importance weights exp(old - rollout) after the cap; num_tokens without old log-probs."""
    importance_cap_sum: Float[Tensor, ""]
    """Tokens whose importance weight was capped."""
    num_left_out: Float[Tensor, ""]
    """Completion tokens left out because their old, rollout or reference log-prob is not finite."""
