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


def live_rows(mask: Tensor | None) -> Tensor | None:
    """Index of the flattened rows inside of a mask; None for all rows. On a GPU, a mask waits for the device."""
    return None if mask is None else mask.reshape(-1).nonzero()[:, 0]


def rows_of(values: Tensor, live: Tensor | None, *, trailing: int = 0) -> Tensor:
    """``[*N, ...]`` with ``trailing`` further axes as ``[n, ...]``, for the live rows alone."""
    flat = values.reshape(-1, *values.shape[values.dim() - trailing :])
    return flat if live is None else flat[live]


def placed(values: Tensor, live: Tensor | None, targets: Tensor) -> Tensor:
    """``[n]`` in the shape of the targets, 0 where no live row is."""
    if live is not None:
        zeros = torch.zeros(targets.numel(), dtype=values.dtype, device=values.device)
        values = zeros.index_copy(0, live, values)
    return values.reshape(targets.shape)


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


def head_arguments(
    targets: Tensor,
    vocabulary: int,
    temperature: Number | Tensor,
    live: Tensor | None,
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
        softcap = float(softcap)
    if allowed is not None:
        check_shape("allowed", allowed, (*targets.shape, vocabulary), meaning="that of targets, then V")
        check_dtype("allowed", allowed, (torch.bool,))
        check_same_device(targets=targets, allowed=allowed)
        allowed = rows_of(allowed, live, trailing=1)
    if operands is not None and operands not in FLOATS:
        raise ValueError(f"operands={operands}: it must be a floating-point type, or None.")
    temperatures = None if temperatures is None else rows_of(temperatures, live)
    return HeadArguments(number, temperatures, float(logit_scale), softcap, allowed, operands)


def check_head(
    hidden: Tensor, weight: Tensor, targets: Tensor | None, bias: Tensor | None, mask: Tensor | None
) -> None:
    if hidden.dim() < 2 or hidden.shape[-1] == 0:
        raise ValueError(f"hidden has shape {list(hidden.shape)}: it must be [..., H] with H of at least 1.")
    if hasattr(weight, "placements"):
        raise ValueError(
            "weight is a DTensor: give it to urt_kernels.sharded.gathered_token_logprobs, or gather it (weight.full_tensor())."
        )
    if weight.dim() != 2 or weight.shape[0] == 0:
        raise ValueError(
            f"weight has shape {list(weight.shape)}: it must be [V, H] with V of at least 1 (gather a weight that ZeRO-3 holds)."
        )
    check_shape("weight", weight, (weight.shape[0], hidden.shape[-1]), meaning="[V, H] with the H of hidden")
    rows = tuple(hidden.shape[:-1])
    if targets is not None:
        check_shape("targets", targets, rows, meaning="that of hidden without its last axis")
    check_dtype("hidden", hidden, FLOATS)
    check_dtype("weight", weight, FLOATS)
    if targets is not None:
        check_dtype("targets", targets, INTEGERS)
    if bias is not None:
        check_shape("bias", bias, (weight.shape[0],), meaning="one value per row of weight")
        check_dtype("bias", bias, FLOATS)
    if mask is not None:
        check_shape("mask", mask, rows, meaning="that of hidden without its last axis")
        check_dtype("mask", mask, (torch.bool,))
    check_same_device(hidden=hidden, weight=weight, targets=targets, bias=bias, mask=mask)
