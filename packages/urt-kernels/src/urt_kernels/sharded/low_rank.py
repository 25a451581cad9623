"""A weight with a low-rank adapter, beside one another: [W, up] takes [hidden, scaling hidden down']."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from urt_kernels.linear_logprobs.chunks import spans


class LowRankParts:
    """>>> LowRankParts(weight, up, block=8192, trains=(False, True))"""

    def __init__(self, weight: Tensor, up: Tensor, *, block: int, trains: tuple[bool, bool]) -> None:
        self.weight, self.up, self.block = weight, up, block
        self.vocabulary = len(weight)
        self.trains, self.needs_gradient = trains, any(trains)
        self.sums: list[Tensor | None] = [None, None]
        self.columns = slice(0, 0)

    def begin(self) -> None:
        self.sums = [
            torch.empty_like(each) if trained else None
            for each, trained in zip((self.weight, self.up), self.trains, strict=True)
        ]

    def blocks(self) -> Iterator[list[tuple[int, Tensor]]]:
        wide = torch.promote_types(self.weight.dtype, self.up.dtype)
        for columns in spans(self.vocabulary, self.block):
            self.columns = columns
            joined = torch.cat([self.weight[columns].to(wide), self.up[columns].to(wide)], dim=1)
            yield [(columns.start, joined)]

    def add(self, gradients: list[Tensor]) -> None:
        size = self.weight.shape[1]
        for total, part in zip(self.sums, (gradients[0][:, :size], gradients[0][:, size:]), strict=True):
            if total is not None:
                total[self.columns] = part.to(total.dtype)

    def gradients(self) -> tuple[Tensor | None, ...]:
        return tuple(self.sums)
