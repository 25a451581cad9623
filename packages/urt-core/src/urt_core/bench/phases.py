"""What each phase of a pipeline cost: wall-clock seconds and peak memory, kept in one JSON file."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from urt_core.atomic import write_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseCost:
    """PhaseCost(name="grpo", title="Stage 3: GRPO", seconds=212.4, peak_memory_bytes=1_730_000_000)"""

    name: str
    title: str
    seconds: float
    """Of all its runs together, where it was interrupted and went on."""
    peak_memory_bytes: int
    is_finished: bool = True


class PhaseLog:
    """Costs in the order of the phases; a phase that is done again replaces its old line, one that goes on adds to
    it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.costs: list[PhaseCost] = read_costs(path)

    @contextmanager
    def measure(self, name: str, *, title: str) -> Iterator[None]:
        before = next((cost for cost in self.costs if cost.name == name and not cost.is_finished), None)
        is_peak_own = reset_peak_memory()
        started = time.monotonic()
        is_finished = False
        try:
            yield
            is_finished = True
        finally:
            seconds = time.monotonic() - started + (before.seconds if before else 0.0)
            peak = max(peak_memory_bytes(since_reset=is_peak_own), before.peak_memory_bytes if before else 0)
            self._note(
                PhaseCost(
                    name=name, title=title, seconds=round(seconds, 2), peak_memory_bytes=peak, is_finished=is_finished
                )
            )

    def _note(self, cost: PhaseCost) -> None:
        names = [known.name for known in self.costs]
        if cost.name in names:
            self.costs[names.index(cost.name)] = cost
        else:
            self.costs.append(cost)
        write_whole(self.path, json.dumps([asdict(known) for known in self.costs], indent=2) + "\n")


def read_costs(path: Path) -> list[PhaseCost]:
    if not path.is_file():
        return []
    return [PhaseCost(**fields) for fields in json.loads(path.read_text(encoding="utf-8"))]


def reset_peak_memory() -> bool:
    """Start a new peak of resident memory for this process; False where the kernel can't (then it is the peak so
    far)."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        # Linux, proc(5): writing 5 sets VmHWM back to the present resident size.
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_memory_bytes(*, since_reset: bool = True) -> int:
    """Peak resident memory of this process: since `reset_peak_memory`, or since its start."""
    if since_reset:
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def duration(seconds: float) -> str:
    """
    >>> duration(4.24), duration(212.4), duration(7384)
    ('4.2 s', '3 min 32 s', '2 h 3 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def memory(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB"
