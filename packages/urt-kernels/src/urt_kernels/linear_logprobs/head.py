"""The head as an operation holds it: the weight, and how its products become logits."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.linear_logprobs.chunks import spans

# Rows of one product on the CPU. A matrix product of another height may take another path and add in another order;
# at one height, a row's bits do not depend on how many rows there are.
TILE_ROWS = 128


class Head(NamedTuple):
    """logits = softcap(logit_scale (X W' + b)) / temperature, with softcap(z) = c tanh(z / c), and -inf where not
    allowed.

    >>> Head(weight=weight, bias=None, temperature=0.9, temperatures=None, logit_scale=1.0, softcap=30.0, allowed=None,
    ...      operands=None)
    """

    weight: Tensor
    """``[V, H]``."""
    bias: Tensor | None
    temperature: float
    temperatures: Tensor | None
    """``[n]``: one for each row, in place of ``temperature``."""
    logit_scale: float
    softcap: float | None
    allowed: Tensor | None
    """``[n, V]``: which logits each row may choose from."""
    operands: torch.dtype | None
    """Type that hidden states and weight are rounded to before they are multiplied; None: as they are."""

    def of_rows(self, rows: slice) -> Head:
        temperatures, allowed = self.temperatures, self.allowed
        return self._replace(
            temperatures=None if temperatures is None else temperatures[rows],
            allowed=None if allowed is None else allowed[rows],
        )

    def operand_dtype(self, hidden: Tensor) -> torch.dtype:
        """The type in which products are multiplied: that asked for, or the wider one of hidden states and weight."""
        return self.operands or torch.promote_types(hidden.dtype, self.weight.dtype)

    def rounded(self, values: Tensor, dtype: torch.dtype) -> Tensor:
        """An operand of a product in ``dtype``, with no more digits than ``operands`` has."""
        return (values if self.operands is None else values.to(self.operands)).to(dtype)

    def logits(self, hidden: Tensor, weight: Tensor, columns: slice) -> Tensor:
        """The logits ``[n, columns]`` of rows of hidden states (a multiple of TILE_ROWS, padding included), in their
        type."""
        logits = hidden.new_empty(len(hidden), len(weight))
        for tile in spans(len(hidden), TILE_ROWS):
            torch.mm(hidden[tile], weight.T, out=logits[tile])
        if self.bias is not None:
            logits += self.bias[columns].to(hidden.dtype)
        if self.softcap is not None:
            logits.mul_(self.logit_scale / self.softcap).tanh_().mul_(self.softcap)
            scale = 1.0
        else:
            scale = self.logit_scale
        if self.temperatures is not None:
            logits[: len(self.temperatures)].mul_((scale / self.temperatures.to(hidden.dtype))[:, None])
        elif scale != self.temperature:
            logits.mul_(scale / self.temperature)
        if self.allowed is not None:
            logits[: len(self.allowed)].masked_fill_(~self.allowed[:, columns], -torch.inf)
        return logits

    def slope(self, logits: Tensor) -> Tensor | float:
        """d logits / d (X W' + b), from the logits ``[n, columns]``."""
        temperature = self.temperature
        if self.temperatures is not None:
            temperature = self.temperatures.to(logits.dtype)[:, None]
        if self.softcap is None:
            return self.logit_scale / temperature
        capped = (logits * (temperature / self.softcap)).clamp(-1.0, 1.0)
        return (1.0 - capped.square()) * (self.logit_scale / temperature)
