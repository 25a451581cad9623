"""Argument checks shared by the operations: each raises a ValueError that names the argument, its value and what is
allowed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from urt_kernels.shapes import Number

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
INTEGERS = (torch.int32, torch.int64)


def compute_dtype(*tensors: Tensor | None) -> torch.dtype:
    """fp32 for every operand type up to fp32, fp64 as soon as one operand is fp64."""
    wide = any(tensor is not None and tensor.dtype == torch.float64 for tensor in tensors)
    return torch.float64 if wide else torch.float32


@contextmanager
def exact(like: Tensor) -> Iterator[None]:
    """Without autocast, which would round the products of an op's implementation to its own type."""
    with torch.autocast(like.device.type, enabled=False):
        yield


def check_dtype(name: str, tensor: Tensor, allowed: tuple[torch.dtype, ...]) -> None:
    """Its layout, too: a kernel reads strides."""
    if tensor.layout != torch.strided:
        layout = str(tensor.layout).removeprefix("torch.")
        raise ValueError(f"{name} has layout {layout}: it must be strided ({name}.to_dense()).")
    if tensor.dtype not in allowed:
        names = ", ".join(str(dtype).removeprefix("torch.") for dtype in allowed)
        raise ValueError(f"{name} has dtype {str(tensor.dtype).removeprefix('torch.')}: allowed are {names}.")


def check_shape(name: str, tensor: Tensor, shape: tuple[int, ...], *, meaning: str) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f"{name} has shape {list(tensor.shape)}: it must be {list(shape)} ({meaning}).")


def check_same_device(**tensors: Tensor | None) -> None:
    (first_name, first), *others = [(name, tensor) for name, tensor in tensors.items() if tensor is not None]
    for name, tensor in others:
        if tensor.device != first.device:
            raise ValueError(f"{name} is on {tensor.device}: it must be on {first.device}, the device of {first_name}.")


def check_positive(name: str, value: int | float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value!r}: it must be a finite number above 0.")


def check_not_negative(name: str, value: int | float) -> None:
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}={value!r}: it must be a finite number of at least 0.")


def check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}={value!r}: allowed are {', '.join(allowed)}.")


def check_temperature(temperature: Number | Tensor, targets: Tensor) -> tuple[float, Tensor | None]:
    """(the one temperature, None) or (1.0, one for each row). A tensor on a GPU is not looked at, which would wait for
    it."""
    if not isinstance(temperature, Tensor):
        check_positive("temperature", temperature)
        return float(temperature), None
    check_dtype("temperature", temperature, FLOATS)
    if temperature.dim() == 0 and temperature.device.type == "cpu":
        check_positive("temperature", float(temperature))
        return float(temperature), None
    check_shape("temperature", temperature, tuple(targets.shape), meaning="one number, or that of targets")
    check_same_device(targets=targets, temperature=temperature)
    looked_at = temperature.device.type == "cpu" and not torch.compiler.is_compiling()
    if looked_at and not bool(((temperature > 0) & temperature.isfinite()).all()):
        raise ValueError("temperature holds a value that is not a finite number above 0.")
    return 1.0, temperature.detach()


def check_targets(targets: Tensor, vocabulary: int, ignore: int | None, *, name: str = "targets") -> None:
    """Look at the values of the targets. On a GPU this waits for the device, and it is skipped in a captured graph."""
    if targets.numel() == 0 or (targets.is_cuda and torch.cuda.is_current_stream_capturing()):
        return
    wrong = (targets < 0) | (targets >= vocabulary)
    if ignore is not None:
        wrong &= targets != ignore
    if bool(wrong.any()):
        value = int(targets[wrong].flatten()[0])
        also = "" if ignore is None else f", and {ignore} for a row to ignore"
        raise ValueError(f"{name} holds {value}: allowed are 0 to {vocabulary - 1}{also}.")
