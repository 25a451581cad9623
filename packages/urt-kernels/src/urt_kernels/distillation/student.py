"""The student's head over chunks of rows: divergences, and the gradients while a chunk's logits are there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.checks import exact
from urt_kernels.linear_logprobs.chunks import balanced, padded, rounded_up, spans
from urt_kernels.linear_logprobs.head import TILE_ROWS
from urt_kernels.linear_logprobs.products import Block, add_product, product
from urt_kernels.tuning import HEIGHT_STEP

Divergence = Callable[[slice, Tensor, Tensor], Tensor]
"""(rows, logits of them and of the padding behind, where the gradient goes: the logits themselves, or a block of the
operands' type) -> divergences."""


class Heights(NamedTuple):
    """How many rows go together. A row's bits are the same wherever products have one height, or add in one order.

    >>> Heights.of_tiles(55)     # fewer rows than a tile fit into the workspace
    Heights(step=32, tile=32, largest=32)
    """

    step: int
    """Chunks are padded to a multiple of it."""
    tile: int | None
    """Rows of each product that has one row for each row of a chunk; None: all of them."""
    largest: int
    """Rows of a chunk."""

    @classmethod
    def of_tiles(cls, fitting: int) -> Heights:
        """All products of one height, which follows from what fits and so from the vocabulary alone: for the CPU, where a
        product of another height may add in another order."""
        tile = min(TILE_ROWS, 1 << max(SMALLEST_TILE, fitting).bit_length() - 1)
        return cls(tile, tile, max(tile, fitting // tile * tile))

    @classmethod
    def of_chunks(cls, fitting: int) -> Heights:
        """Multiples of the height at which cuBLAS adds along the hidden axis in one order."""
        return cls(HEIGHT_STEP, None, max(HEIGHT_STEP, fitting // HEIGHT_STEP * HEIGHT_STEP))

    def chunk(self, values: Tensor, rows: slice) -> Tensor:
        """These rows, and zeros up to the height of a product."""
        return padded(values[rows], rounded_up(rows.stop - rows.start, self.step))

    def product(self, left: Tensor, right: Tensor, out: Tensor) -> None:
        for rows in spans(len(left), self.tile or max(1, len(left))):
            product(left[rows], right, out=out[rows])


SMALLEST_TILE = 8
"""Rows that are computed where the workspace holds fewer: with one, a sum over it could be cut for several threads."""


def over_chunks(
    hidden: Tensor,
    weight: Tensor,
    divergence: Divergence,
    needs: tuple[bool, bool],
    *,
    dtype: torch.dtype,
    operand: torch.dtype,
    heights: Heights,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(sum of the divergences, the divergences ``[n]``, gradients of the sum by hidden and weight, empty where not
    needed).

    Logits and sums are in ``dtype``; products take ``operand``, to which the logits' gradient is rounded. Divergence and
    gradient of a row don't depend on the others; padding is zeros, which weigh nothing in the weight's gradient.
    """
    values = torch.empty(len(hidden), dtype=dtype, device=hidden.device)
    make = torch.empty if len(hidden) else torch.zeros
    by_hidden = torch.empty(hidden.shape if needs[0] else (0,), dtype=hidden.dtype, device=hidden.device)
    by_weight = make(weight.shape if needs[1] else (0,), dtype=dtype, device=hidden.device)
    chunks = list(balanced(len(hidden), heights.largest, step=heights.step))
    block = Block(chunks, len(weight), hidden, dtype=dtype)
    rounded = block if operand == dtype else Block(chunks, len(weight), hidden, dtype=operand)
    with exact(hidden):
        weight = weight.to(operand)
        for rows in chunks:
            count, chunk = rows.stop - rows.start, heights.chunk(hidden, rows).to(operand)
            logits = block.view(len(chunk), len(weight))
            gradient = rounded.view(len(chunk), len(weight))
            heights.product(chunk, weight.T, out=logits)
            values[rows] = divergence(rows, logits, gradient)[:count]
            if needs[0]:
                own = torch.empty(chunk.shape, dtype=dtype, device=hidden.device)
                heights.product(gradient, weight, out=own)
                by_hidden[rows] = own[:count].to(hidden.dtype)
            if needs[1]:
                if rows.start == 0:
                    product(gradient.T, chunk, out=by_weight)
                else:
                    add_product(by_weight, gradient.T, chunk)
    return values.sum(), values, by_hidden, by_weight
