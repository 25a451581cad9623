"""What this machine can do at best, measured in the same run as the kernels: the denominators of every share."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.kernels.timing import measure


@dataclass(frozen=True, kw_only=True, slots=True)
class Ceilings:
    """Measured limits.

    >>> Ceilings(copy=3.0e12, read=3.1e12, launch_us=2.4)
    """

    copy: float
    """Bytes read plus written per second by a plain copy."""
    read: float
    """Bytes per second of a sum over a large tensor."""
    launch_us: float
    """Microseconds of an operation on one element."""


def machine_ceilings(device: torch.device, *, repetitions: int) -> Ceilings:
    num_bytes = 2**30 if device.type == "cuda" else 2**26
    source = torch.ones(num_bytes // 4, device=device)
    target, single = torch.empty_like(source), torch.ones(1, device=device)
    times = measure(
        {"copy": lambda: target.copy_(source), "read": lambda: source.sum(), "launch": lambda: single.add_(1)},
        device=device,
        repetitions=repetitions,
    )
    return Ceilings(
        copy=2 * num_bytes / times["copy"].median * 1e3,
        read=num_bytes / times["read"].median * 1e3,
        launch_us=times["launch"].median * 1e3,
    )


def product_ceiling(
    num_rows: int, vocabulary: int, size: int, dtype: torch.dtype, device: torch.device, *, repetitions: int
) -> float:
    """Operations per second of one plain matrix product of the head's shape, on random data."""
    left = torch.randn(num_rows, size, device=device).to(dtype)
    right = torch.randn(vocabulary, size, device=device).to(dtype)
    times = measure({"product": lambda: left @ right.T}, device=device, repetitions=repetitions)
    return 2 * num_rows * vocabulary * size / times["product"].median * 1e3
