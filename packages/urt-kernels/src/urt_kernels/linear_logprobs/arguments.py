"""Checks of the arguments that every form of the head shares, and what they become for an op."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.checks import (
    FLOATS,
    INTEGERS,
    check_dtype,
    check_positive,
    check_same_device,
    check_shape,
    check_temperature,
)
from urt_kernels.shapes import Number


class LiveRows(NamedTuple):
    """The rows inside of a mask, and where they are in the shape of the targets.

    >>> LiveRows.of(torch.tensor([True, False]), targets).rows(targets)
    """

    index: Tensor | None
    shape: torch.Size

    @classmethod
    def of(cls, mask: Tensor | None, targets: Tensor) -> LiveRows:
        """All rows without a mask. On a GPU, a mask waits for the device."""
        return cls(None if mask is None else mask.reshape(-1).nonzero()[:, 0], targets.shape)

    def rows(self, values: Tensor, trailing: int = 0) -> Tensor:
        """``[*N, ...]`` with ``trailing`` further axes as ``[n, ...]``."""
        flat = values.reshape(self.shape.numel(), *values.shape[values.dim() - trailing :])
        return flat if self.index is None else flat[self.index]

    def placed(self, values: Tensor) -> Tensor:
        """``[n]`` in the shape of the targets, 0 outside of the mask."""
        if self.index is not None:
            zeros = torch.zeros(self.shape.numel(), dtype=values.dtype, device=values.device)
            values = zeros.index_copy(0, self.index, values)
        return values.reshape(self.shape)


class HeadArguments(NamedTuple):
    """How logits come from the head's products, checked; an op takes them in this order.

    >>> HeadArguments(temperature=0.9, temperatures=None, logit_scale=1.0, softcap=None, allowed=None, operands=None)
    """

    temperature: float
    temperatures: Tensor | None
    logit_scale: float
    softcap: float | None
    allowed: Tensor | None
    operands: torch.dtype | None

    @classmethod
    def checked(
        cls,
        targets: Tensor,
        vocabulary: int,
        temperature: Number | Tensor,
        *,
        logit_scale: Number,
        softcap: Number | None,
        allowed: Tensor | None,
        operands: torch.dtype | None,
    ) -> HeadArguments:
        number, temperatures = check_temperature(temperature, targets)
        check_positive("logit_scale", logit_scale)
        if softcap is not None:
            check_positive("softcap", softcap)
        if allowed is not None:
            check_shape("allowed", allowed, (*targets.shape, vocabulary), meaning="that of targets, then V")
            check_dtype("allowed", allowed, (torch.bool,))
            check_same_device(targets=targets, allowed=allowed)
        if operands is not None and operands not in FLOATS:
            raise ValueError(f"operands={operands}: it must be a floating-point type, or None.")
        softcap = None if softcap is None else float(softcap)
        return cls(number, temperatures, float(logit_scale), softcap, allowed, operands)

    def of(self, live: LiveRows) -> HeadArguments:
        """For the live rows alone."""
        return self._replace(
            temperatures=None if self.temperatures is None else live.rows(self.temperatures),
            allowed=None if self.allowed is None else live.rows(self.allowed, 1),
        )


def check_head(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, mask: Tensor | None) -> None:
    if hidden.dim() < 2 or hidden.shape[-1] == 0:
        raise ValueError(f"hidden has shape {list(hidden.shape)}: it must be [..., H] with H of at least 1.")
    if hasattr(weight, "placements"):
        raise ValueError("weight is a DTensor: give it to sharded_token_logprobs, or gather it (weight.full_tensor()).")
    if weight.dim() != 2 or weight.shape[0] == 0:
        raise ValueError(
            f"weight has shape {list(weight.shape)}: it must be [V, H] with V of at least 1 (gather a weight that ZeRO-3 holds)."
        )
    check_shape("weight", weight, (weight.shape[0], hidden.shape[-1]), meaning="[V, H] with the H of hidden")
    check_shape("targets", targets, tuple(hidden.shape[:-1]), meaning="that of hidden without its last axis")
    check_dtype("hidden", hidden, FLOATS)
    check_dtype("weight", weight, FLOATS)
    check_dtype("targets", targets, INTEGERS)
    if bias is not None:
        check_shape("bias", bias, (weight.shape[0],), meaning="one value per row of weight")
        check_dtype("bias", bias, FLOATS)
    if mask is not None:
        check_shape("mask", mask, tuple(targets.shape), meaning="that of targets")
        check_dtype("mask", mask, (torch.bool,))
    check_same_device(hidden=hidden, weight=weight, targets=targets, bias=bias, mask=mask)
