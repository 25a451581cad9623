"""A head's weight over the ranks of a group, as the one pass computes with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group

from urt_kernels.linear_logprobs.merge import merged_statistics
from urt_kernels.linear_logprobs.products import product
from urt_kernels.linear_logprobs.running import RowStatistics
from urt_kernels.one_pass.held import HeldWhole
from urt_kernels.sharded.gathered import GatheredShards


class HeldPart(HeldWhole):
    """This rank computes with its own columns, for rows that all ranks have: HeldPart(weight, widest=18992, group=None)

    Targets are local: -1 stands for one of another rank.
    """

    def __init__(self, weight: Tensor, *, widest: int, group: dist.ProcessGroup | None) -> None:
        super().__init__(weight)
        self.widest, self.group = widest, group
        first = dist.get_rank(group) * widest
        self.columns = slice(first, first + self.vocabulary)

    def whole_rows(self, own: RowStatistics, targets: Tensor) -> RowStatistics:
        return gathered_statistics(own, targets >= 0, self.group)

    def sum_(self, hidden_gradient: Tensor) -> None:
        dist.all_reduce(hidden_gradient, group=self.group)


class HeldShards:
    """All columns, gathered block by block, for rows of this rank's own: HeldShards(shards, into=None)

    The weight's gradient is added to ``into``, or to zeros.
    """

    sums_here = False

    def __init__(self, shards: GatheredShards, *, into: Tensor | None) -> None:
        self.shards, self.into = shards, into
        self.vocabulary = self.widest = shards.vocabulary
        self.columns = slice(0, shards.vocabulary)
        shards.begin(into if into is not None and into.dtype == shards.sum_dtype else None)
        self.sums: Tensor | None = None
        self.whole: list[Tensor] = []
        self.rank = self.added = 0

    def parts(self, *, learns: bool = False) -> Iterator[tuple[int, Tensor]]:
        for block in self.shards.blocks():
            for self.rank, first, weight in block:
                self.added = 0
                yield first, weight
            del block, weight  # before there are sums over the ranks, or the next block
            if learns:
                self.shards.add(self._taken())

    def add(self, gradient: Tensor, chunk: Tensor) -> None:
        if self.sums is None:
            self.sums = self.shards.zeros()
        columns = slice(self.added, self.added + gradient.shape[1])
        product(gradient.T, chunk, out=self.sums[self.rank, columns])
        self.added = columns.stop

    def add_sum(self, gradient: Tensor) -> None:
        self.whole.append(gradient)

    def _taken(self) -> Tensor:
        """The gradients of the block, of which nothing is kept."""
        sums = self.shards.zeros() if self.sums is None else self.sums
        for own, gradient in zip(sums, self.whole, strict=False):
            own[: len(gradient)] = gradient
        self.sums, self.whole = None, []
        return sums

    def gradient(self, own: Tensor) -> Tensor:
        total = self.shards.total
        if total is None or total is self.into:
            return own
        if self.into is not None:
            self.into += total
            return own
        return total

    def whole_bias(self, own: Tensor) -> Tensor:
        return self.shards.whole(own)

    def bias_gradient(self, own: Tensor) -> Tensor:
        return self.shards.own_sum(own)

    def most_chunks(self, own: int | None) -> int | None:
        told = torch.tensor([own or 0, int(own is None)], device=self.shards.shard.device)
        dist.all_reduce(told, op=dist.ReduceOp.MAX, group=self.shards.group)
        most, cannot = told.tolist()
        return None if cannot else most

    def idle(self, *, differentiates: bool, learns: bool) -> None:
        for _ in self.parts():
            pass
        if differentiates:
            for _ in self.parts(learns=learns):
                pass

    def whole_rows(self, own: RowStatistics, targets: Tensor) -> RowStatistics:
        return own

    def sum_(self, hidden_gradient: Tensor) -> None:
        pass


def held_over_ranks(
    spread: str,
    weight: Tensor,
    *,
    vocabulary: int,
    block: int,
    group: str,
    operands: torch.dtype | None,
    into: Tensor | None,
) -> HeldPart | HeldShards:
    """The weight of an op whose arguments name the group: ``spread`` is "vocabulary" or "shards"."""
    name: Any = group
    found = _resolve_process_group(name)
    if spread == "vocabulary":
        return HeldPart(weight, widest=-(-vocabulary // dist.get_world_size(found)), group=found)
    shard = weight if operands is None else weight.to(operands)
    return HeldShards(GatheredShards(shard, vocabulary=vocabulary, block=block, group=found), into=into)


def gathered_statistics(own: RowStatistics, inside: Tensor, group: dist.ProcessGroup | None) -> RowStatistics:
    """Statistics of the whole vocabulary from every rank's part, in one exchange; all ranks have the same bits."""
    numbers = [own.logprobs, own.lse, own.highest, own.top1.to(own.lse.dtype), inside.to(own.lse.dtype)]
    asked = own.entropies.numel() == own.lse.numel() > 0
    columns = torch.stack([*numbers, own.entropies] if asked else numbers)
    gathered = [torch.empty_like(columns) for _ in range(dist.get_world_size(group))]
    dist.all_gather(gathered, columns, group=group)
    logprobs, lse, highest, top1, found, *entropies = torch.stack(gathered, dim=1).unbind(0)
    parts = RowStatistics(logprobs, entropies[0] if asked else lse.new_empty(len(lse), 0), top1 != 0, lse, highest)
    return merged_statistics(parts, found != 0)
