"""A weight with a low-rank adapter, beside one another: [W, up] takes [hidden, scaling hidden down']."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from urt_kernels.linear_logprobs.chunks import spans
from urt_kernels.one_pass.held import HeldWhole


class HeldLowRank(HeldWhole):
    """``block`` rows of the two are there at a time: HeldLowRank(weight, up, block=8192, trains=(False, True))"""

    sums_here = False

    def __init__(self, weight: Tensor, up: Tensor, *, block: int, trains: tuple[bool, bool]) -> None:
        super().__init__(weight)
        self.up, self.block, self.trains = up, block, trains
        self.rows = slice(0, 0)
        self.sums = [
            torch.empty_like(each) if trained else each.new_empty(0)
            for each, trained in zip((weight, up), trains, strict=True)
        ]

    def parts(self, *, learns: bool = False) -> Iterator[tuple[int, Tensor]]:
        wide = torch.promote_types(self.weight.dtype, self.up.dtype)
        for rows in spans(self.vocabulary, self.block):
            self.rows = rows
            yield rows.start, torch.cat([self.weight[rows].to(wide), self.up[rows].to(wide)], dim=1)

    def add_sum(self, gradient: Tensor) -> None:
        size = self.weight.shape[1]
        for total, trained, part in zip(self.sums, self.trains, (gradient[:, :size], gradient[:, size:]), strict=True):
            if trained:
                total[self.rows] = part.to(total.dtype)

    def gradient(self, own: Tensor) -> Tensor:
        return self.sums[0]
