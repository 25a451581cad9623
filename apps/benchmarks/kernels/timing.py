"""Times of several functions, interleaved, with a cold L2 cache."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

FLUSH_BYTES = 256 * 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Times:
    """Milliseconds.

    >>> Times(median=0.91, low=0.90, high=0.93)
    """

    median: float
    low: float
    """20 % quantile."""
    high: float
    """80 % quantile."""


def measure(
    functions: Mapping[str, Callable[[], object]], *, device: torch.device, repetitions: int
) -> dict[str, Times]:
    """Run the functions in turns (A B C A B C ...), because clocks drift while a card warms up.

    On a CPU it is processor time, summed over the threads: what else runs on the machine does not count.
    """
    samples: dict[str, list[float]] = {name: [] for name in functions}
    warm_up = 3 if device.type == "cuda" else 1
    flush = torch.empty(FLUSH_BYTES, dtype=torch.int8, device=device) if device.type == "cuda" else None
    for repetition in range(warm_up + repetitions):
        for name, function in functions.items():
            elapsed = _once(function, flush)
            if repetition >= warm_up:
                samples[name].append(elapsed)
    return {name: _summary(values) for name, values in samples.items()}


def peak_extra_bytes(function: Callable[[], object], device: torch.device) -> int | None:
    """Memory above what was in use before, at its peak; None on a CPU whose system does not tell."""
    if device.type != "cuda":
        return _peak_extra_resident(function)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    result = function()
    torch.cuda.synchronize(device)
    del result
    return torch.cuda.max_memory_allocated(device) - before


def _peak_extra_resident(function: Callable[[], object]) -> int | None:
    """The same of the whole process, as Linux counts it.

    Blocks that the allocator kept from earlier are not seen; glibc keeps none above 32 MiB, so a copy of large logits
    always is.
    """
    forget_peak = Path("/proc/self/clear_refs")
    if not forget_peak.exists():
        return None
    gc.collect()
    forget_peak.write_text("5")
    before = _resident_bytes("VmRSS")
    result = function()
    del result
    return max(0, _resident_bytes("VmHWM") - before)


def _resident_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def _once(function: Callable[[], object], flush: torch.Tensor | None) -> float:
    if flush is None:
        start = time.process_time()
        function()
        return (time.process_time() - start) * 1e3
    flush.zero_()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    result = function()
    end.record()
    end.synchronize()
    del result
    return begin.elapsed_time(end)


def _summary(values: list[float]) -> Times:
    low, median, high = (
        torch.tensor(values, dtype=torch.float64).quantile(torch.tensor([0.2, 0.5, 0.8]).double()).tolist()
    )
    return Times(median=median, low=low, high=high)
