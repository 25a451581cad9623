"""The student's head over chunks of rows: divergences, and the gradients while a chunk's logits are there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from urt_kernels.checks import exact
from urt_kernels.linear_logprobs.chunks import balanced
from urt_kernels.linear_logprobs.products import Block, add_product, product

Divergence = Callable[[slice, Tensor, Tensor], Tensor]
"""(rows, their logits, where the gradient goes: the logits themselves, or a block of the operands' type) -> divergences."""


def over_chunks(
    hidden: Tensor,
    weight: Tensor,
    divergence: Divergence,
    needs: tuple[bool, bool],
    *,
    dtype: torch.dtype,
    operand: torch.dtype,
    largest: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(sum of the divergences, the divergences ``[n]``, gradients of the sum by hidden and weight, empty where not
    needed).

    Logits and sums are in ``dtype``; products take ``operand``, to which the logits' gradient is rounded.
    """
    values = torch.empty(len(hidden), dtype=dtype, device=hidden.device)
    make = torch.empty if len(hidden) else torch.zeros
    by_hidden = torch.empty(hidden.shape if needs[0] else (0,), dtype=hidden.dtype, device=hidden.device)
    by_weight = make(weight.shape if needs[1] else (0,), dtype=dtype, device=hidden.device)
    chunks = list(balanced(len(hidden), largest, step=1))
    block = Block(chunks, len(weight), hidden, dtype=dtype)
    rounded = block if operand == dtype else Block(chunks, len(weight), hidden, dtype=operand)
    with exact(hidden):
        weight = weight.to(operand)
        for rows in chunks:
            chunk = hidden[rows].to(operand)
            logits = block.view(len(chunk), len(weight))
            gradient = rounded.view(len(chunk), len(weight))
            product(chunk, weight.T, out=logits)
            values[rows] = divergence(rows, logits, gradient)
            if needs[0]:
                own = torch.empty(chunk.shape, dtype=dtype, device=hidden.device)
                product(gradient, weight, out=own)
                by_hidden[rows] = own.to(hidden.dtype)
            if needs[1]:
                if rows.start == 0:
                    product(gradient.T, chunk, out=by_weight)
                else:
                    add_product(by_weight, gradient.T, chunk)
    return values.sum(), values, by_hidden, by_weight
