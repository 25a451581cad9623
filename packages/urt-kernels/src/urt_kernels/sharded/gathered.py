"""A weight that ranks hold in shards of its rows, gathered one block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

# Its first name warns in newer versions of torch, its second is not in older ones.
_reduce_scatter: Any = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


class GatheredShards:
    """Blocks of equal rows of every rank's shard: rank r has rows r c to (r + 1) c of the weight, c = ceil(V / R).

    >>> parts = GatheredShards(shard, vocabulary=151936, block=8192, group=None)
    >>> [first for block in parts.blocks() for _, first, _ in block]     # R parts of at most 8192 / R rows in each block
    """

    def __init__(self, shard: Tensor, *, vocabulary: int, block: int, group: dist.ProcessGroup | None) -> None:
        self.shard, self.vocabulary, self.group = shard, vocabulary, group
        self.ranks, self.rank = dist.get_world_size(group), dist.get_rank(group)
        self.size = -(-vocabulary // self.ranks)
        self.step = max(1, block // self.ranks)
        self.sum_dtype = torch.promote_types(shard.dtype, torch.float32)
        self.total: Tensor | None = None
        self.start = 0

    def whole(self, shard: Tensor) -> Tensor:
        """One number for each row of the weight ``[V]``, from the shards of all ranks."""
        own = shard.new_zeros(self.size)
        own[: len(shard)] = shard
        parts = [torch.empty_like(own) for _ in range(self.ranks)]
        dist.all_gather(parts, own, group=self.group)
        return torch.cat(parts)[: self.vocabulary]

    def own_sum(self, whole: Tensor) -> Tensor:
        """This rank's shard of the sum of every rank's ``[V]``."""
        total = whole.contiguous().clone()
        dist.all_reduce(total, group=self.group)
        return total[self.rank * self.size : (self.rank + 1) * self.size].clone()

    def begin(self, total: Tensor | None = None) -> None:
        """Sums start from zeros, or are added to ``total``."""
        self.total = total

    @property
    def height(self) -> int:
        """Rows of the current block in each shard."""
        return min(self.step, self.size - self.start)

    def blocks(self) -> Iterator[list[tuple[int, int, Tensor]]]:
        """The rank that a part is from, its first row in the whole weight and its rows."""
        for start in range(0, self.size, self.step):
            self.start = start
            yield self._gathered()

    def _gathered(self) -> list[tuple[int, int, Tensor]]:
        own = self.shard.new_zeros(self.height, self.shard.shape[1])
        rows = self.shard[self.start : self.start + self.height]
        own[: len(rows)] = rows
        parts = [torch.empty_like(own) for _ in range(self.ranks)]
        dist.all_gather(parts, own, group=self.group)
        firsts = [rank * self.size + self.start for rank in range(self.ranks)]
        return [
            (rank, first, part[: self.vocabulary - first])
            for rank, (first, part) in enumerate(zip(firsts, parts, strict=True))
            if first < self.vocabulary
        ]

    def zeros(self) -> Tensor:
        """For the gradients of the current block: ``[R, height, H]``, by the rank that a part is from."""
        shape = (self.ranks, self.height, self.shard.shape[1])
        return torch.zeros(shape, dtype=self.sum_dtype, device=self.shard.device)

    def add(self, gradients: Tensor) -> None:
        """Each rank keeps the sum over all ranks of the part that is its own. The gradients are overwritten."""
        if self.total is None:
            self.total = torch.zeros(self.shard.shape, dtype=self.sum_dtype, device=self.shard.device)
        if dist.get_backend(self.group) == "gloo":  # has no reduce_scatter
            dist.all_reduce(gradients, group=self.group)
            own = gradients[self.rank]
        else:
            own = torch.empty_like(gradients[0])
            _reduce_scatter(own, gradients.view(-1, gradients.shape[-1]), group=self.group)
        rows = self.total[self.start : self.start + self.height]
        rows += own[: len(rows)]
