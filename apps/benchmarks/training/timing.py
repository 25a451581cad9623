"""Time the phases of several contenders in turns: what slows the machine down for a while slows all of them down."""

from __future__ import annotations

import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from urt_core.bench.phases import peak_memory_bytes, reset_peak_memory


class Outcome(NamedTuple):
    """What an update computed, for comparing contenders: Outcome(logprobs=tensor[P, G, C], loss=0.013)"""

    logprobs: Tensor
    loss: float


class Step(Protocol):
    """A contender: the phases of one step of GRPO, called in this order."""

    def data(self) -> None:
        """Images to tensors."""
        ...

    def generate(self) -> None:
        """Sample a group of completions for each prompt. The update goes on with given ones, so that all compute the
        same."""
        ...

    def logprobs(self) -> None:
        """The passes without gradient: the reference policy's log-probs."""
        ...

    def update(self) -> Outcome:
        """The policy's pass with entropy, loss, backward pass, optimizer step."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Timing(seconds={"logprobs": 0.12, "update": 0.55}, peak_bytes=812_000_000, outcome=Outcome(...))"""

    seconds: Mapping[str, float]
    """Median over the repeats, by phase: of wall-clock time on a GPU, of the process's own time on a CPU."""
    peak_bytes: int
    """Of log-prob passes and update together, above what was held before them."""
    outcome: Outcome

    @property
    def update_phase(self) -> float:
        """Seconds of all log-prob passes, loss, backward pass and step."""
        return self.seconds["logprobs"] + self.seconds["update"]


def time_interleaved(
    steps: Mapping[str, Step], *, phases: Sequence[str], repeats: int, device: str
) -> dict[str, Timing]:
    """Each once to warm up, then in turns. `phases` names those of `Step` to take; `logprobs` and `update` always are.

    On a CPU what counts is the time that this process computed, all threads together: other work beside it does not
    count.
    """
    is_cuda = device.startswith("cuda")
    seconds: dict[str, dict[str, list[float]]] = {name: {} for name in steps}
    peaks: dict[str, int] = {}
    outcomes: dict[str, Outcome] = {}
    for turn in range(repeats + 1):
        for name, step in steps.items():
            taken = {phase: _timed(getattr(step, phase), is_cuda=is_cuda)[0] for phase in phases}
            held = _start_of_peak(is_cuda)
            taken["logprobs"], _ = _timed(step.logprobs, is_cuda=is_cuda)
            taken["update"], outcomes[name] = _timed(step.update, is_cuda=is_cuda)
            peaks[name] = (torch.cuda.max_memory_allocated() if is_cuda else peak_memory_bytes()) - held
            for phase, one in taken.items() if turn else ():
                seconds[name].setdefault(phase, []).append(one)
    return {
        name: Timing(
            seconds={phase: statistics.median(times) for phase, times in seconds[name].items()},
            peak_bytes=peaks[name],
            outcome=outcomes[name],
        )
        for name in steps
    }


def _timed(run: Callable[[], Any], *, is_cuda: bool) -> tuple[float, Any]:
    """Seconds, and what it returned."""
    clock = time.perf_counter if is_cuda else time.process_time
    if is_cuda:
        torch.cuda.synchronize()
    started = clock()
    result = run()
    if is_cuda:
        torch.cuda.synchronize()
    return clock() - started, result


def _start_of_peak(is_cuda: bool) -> int:
    """Begin a new peak; the bytes held now."""
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).malloc_trim(0)  # or what the last contender freed would still count as held
    reset_peak_memory()
    return peak_memory_bytes()
