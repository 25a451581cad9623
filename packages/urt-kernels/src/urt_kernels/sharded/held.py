"""A head's weight over the ranks of a group, as the one pass computes with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group

from urt_kernels.linear_logprobs.products import product
from urt_kernels.linear_logprobs.running import RowStatistics
from urt_kernels.one_pass.held import HeldWhole
from urt_kernels.sharded.gathered import GatheredShards
from urt_kernels.sharded.merge import gathered_statistics


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
        self.gradients: list[Tensor] = []
        self.added = 0

    def parts(self, *, learns: bool = False) -> Iterator[tuple[int, Tensor]]:
        for block in self.shards.blocks():
            self.gradients = []
            for first, weight in block:
                if learns:
                    self.gradients.append(torch.zeros(weight.shape, dtype=self.shards.sum_dtype, device=weight.device))
                    self.added = 0
                yield first, weight
            if learns:
                self.shards.add(self.gradients)

    def add(self, gradient: Tensor, chunk: Tensor) -> None:
        columns = slice(self.added, self.added + gradient.shape[1])
        product(gradient.T, chunk, out=self.gradients[-1][columns])
        self.added = columns.stop

    def add_sum(self, gradient: Tensor) -> None:
        self.gradients[-1] += gradient

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
