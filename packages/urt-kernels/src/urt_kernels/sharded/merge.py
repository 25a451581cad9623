"""Statistics of the parts of a vocabulary as those of the whole."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

Merged = tuple[Tensor, Tensor | None, Tensor]


def merged(logprobs: Tensor, entropies: Tensor | None, lse: Tensor, inside: Tensor) -> Merged:
    """(log-probs, entropies, log-sum-exps) ``[n]`` from those of P parts, ``[P, n]`` each; ``inside`` says where the
    target is.

    With s the share of a part in the sum of exponentials: ln p = ln p_part + ln s, and H = sum_parts s (H_part - ln s).
    Both stay small where the log-sum-exps are large.
    """
    whole = lse.logsumexp(0)
    log_shares = lse - whole
    chosen = torch.where(inside, logprobs + log_shares, 0.0).sum(0)
    if entropies is None:
        return chosen, None, whole
    return chosen, (log_shares.exp() * (entropies - log_shares)).sum(0), whole


def across_ranks(
    logprobs: Tensor, entropies: Tensor | None, lse: Tensor, inside: Tensor, group: dist.ProcessGroup | None
) -> Merged:
    """The same where each rank of the group has one part; differentiable in the rank's own."""
    columns = [logprobs, lse, inside.to(lse.dtype), *([] if entropies is None else [entropies])]
    parts = _Gather.apply(torch.stack(columns), group)
    assert isinstance(parts, Tensor)
    return merged(parts[:, 0], None if entropies is None else parts[:, 3], parts[:, 1], parts[:, 2] != 0)


def reduced_gradient(hidden: Tensor, group: dist.ProcessGroup | None) -> Tensor:
    """Hidden states that every rank has, with a gradient that is the sum of the ranks' own."""
    reduced = _SumOfGradients.apply(hidden, group)
    assert isinstance(reduced, Tensor)
    return reduced


class _Gather(torch.autograd.Function):
    """Every rank goes on with the same numbers, so the gradient of its own part is the one it has already."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.rank = dist.get_rank(group)
        parts = [torch.empty_like(own) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, own.contiguous(), group=group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return grad[ctx.rank], None


class _SumOfGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        return hidden.view_as(hidden)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # A sum of halves in fp32: as many roundings as one rank alone would have.
        total = grad.to(torch.promote_types(grad.dtype, torch.float32)).contiguous()
        total = total.clone() if total is grad else total
        dist.all_reduce(total, group=ctx.group)
        return total.to(grad.dtype), None
