"""The gradient of log-prob, entropy and log-sum-exp by the logits, whichever way the logits came."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.logprobs.result import IGNORE_TARGET

# Finite stand-in for -inf: exp() of it is 0 and 0 times it is 0, where 0 times -inf would be NaN.
LOWEST = -1e30


class Upstream(NamedTuple):
    """What is known of n rows when their logits' gradient is formed, ``[n]`` each.

    >>> Upstream(targets=targets, logprobs=logprobs, entropies=None, lse=lse, grad_logprobs=grad, grad_entropies=None,
    ...          grad_lse=None)
    """

    targets: Tensor
    logprobs: Tensor
    entropies: Tensor | None
    lse: Tensor
    grad_logprobs: Tensor
    grad_entropies: Tensor | None
    grad_lse: Tensor | None

    def of_rows(self, rows: slice) -> Upstream:
        return Upstream(*(None if values is None else values[rows] for values in self))  # pyright: ignore[reportArgumentType]

    def to(self, dtype: torch.dtype) -> Upstream:
        """Its numbers in another type."""
        values = (each.to(dtype) if each is not None and each.is_floating_point() else each for each in self)
        return Upstream(*values)  # pyright: ignore[reportArgumentType]

    def alive(self) -> Tensor:
        """Rows that anything flows through. What the others hold, NaN too, stays out of the gradient."""
        alive = self.grad_logprobs != 0
        for grad in (self.grad_entropies, self.grad_lse):
            if grad is not None:
                alive = alive | (grad != 0)
        return alive & (self.targets != IGNORE_TARGET)


def log_p_gradient(log_p: Tensor, columns: slice, upstream: Upstream) -> Tensor:
    """d loss / d logits / (d z / d logit) from ln p of some columns, in its place.

    With p the softmax, H its entropy and t the target: dz_j = g_logprob (1[j=t] - p_j) - g_entropy p_j (ln p_j + H) +
    g_lse p_j.
    """
    inside, local = target_in(upstream.targets.long(), columns)
    factor = -upstream.grad_logprobs[:, None]
    if upstream.grad_lse is not None:
        factor = factor + upstream.grad_lse[:, None]
    if upstream.grad_entropies is not None and upstream.entropies is not None:
        # LOWEST keeps p ln p at 0 for a logit of -inf.
        factor = factor - upstream.grad_entropies[:, None] * (log_p.clamp(min=LOWEST) + upstream.entropies[:, None])
    others = factor if factor.shape[1] == 1 else factor.gather(-1, local)
    gradient = log_p.exp_().mul_(factor)
    # The target's own entry from its log-prob: 1 - p of a p near 1 would be all rounding.
    logprob, grad = upstream.logprobs[:, None], upstream.grad_logprobs[:, None]
    own = (others + grad) * logprob.exp() - grad * logprob.expm1()
    return gradient.scatter_(-1, local, torch.where(inside, own, gradient.gather(-1, local)))


def target_in(targets: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Which rows have their target in these columns, and its index there (0 elsewhere); both ``[n, 1]``."""
    inside = (targets >= columns.start) & (targets < columns.stop)
    return inside[:, None], (targets - columns.start).masked_fill(~inside, 0)[:, None]
