"""What the two log-prob operations return."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from urt_kernels.shapes import Bool, Float

IGNORE_TARGET = -100


class TokenLogprobs(NamedTuple):
    """One value per row, in fp32 (fp64 for fp64 input).

    A row whose target is ``IGNORE_TARGET`` has zeros (and False) everywhere and gives no gradient.

    >>> result = token_logprobs(torch.zeros(2, 4), torch.tensor([1, -100]), temperature=1.0, entropy=True)
    >>> result.logprobs    # tensor([-1.3863, 0.0000])
    >>> result.entropy     # tensor([ 1.3863, 0.0000])
    >>> result.top1        # tensor([ True, False])
    """

    logprobs: Float[Tensor, "*N"]
    """ln softmax(logits / temperature) at the target; differentiable."""
    entropy: Float[Tensor, "*N"] | None
    """Entropy of softmax(logits / temperature) in nats; differentiable. None where not asked for."""
    top1: Bool[Tensor, "*N"]
    """Whether no logit is above the target's (a tie for the highest counts)."""
    lse: Float[Tensor, "*N"]
    """ln sum exp(logits / temperature); differentiable."""
