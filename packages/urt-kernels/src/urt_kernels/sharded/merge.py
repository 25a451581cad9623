"""Statistics of the ranks' parts of a vocabulary as those of the whole, and gradients that are sums over ranks."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from urt_kernels.linear_logprobs.merge import Merged, merged, merged_statistics
from urt_kernels.linear_logprobs.running import RowStatistics


def gathered_statistics(own: RowStatistics, inside: Tensor, group: dist.ProcessGroup | None) -> RowStatistics:
    """The same from every rank's part, in one exchange; all ranks have the same bits."""
    numbers = [own.logprobs, own.lse, own.highest, own.top1.to(own.lse.dtype), inside.to(own.lse.dtype)]
    asked = own.entropies.numel() == own.lse.numel() > 0
    columns = torch.stack([*numbers, own.entropies] if asked else numbers)
    gathered = [torch.empty_like(columns) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, columns, group=group)
    logprobs, lse, highest, top1, found, *entropies = torch.stack(gathered, dim=1).unbind(0)
    parts = RowStatistics(logprobs, entropies[0] if asked else lse.new_empty(len(lse), 0), top1 != 0, lse, highest)
    return merged_statistics(parts, found != 0)


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
