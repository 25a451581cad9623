"""When the servers sampled, when the policy learned, and when weights were handed over: the spans of a run's rollouts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Span(NamedTuple):
    """Span(phase="sampling", rollout=3, start=12.1, end=20.4)"""

    phase: str
    """sampling, hand-over or learning."""
    rollout: int
    """Counted from 0."""
    start: float
    """Seconds since this process began to sample, by a clock that does not jump."""
    end: float


class Timeline:
    """Spans of this process, in the order in which they ended; whoever writes them down takes and clears them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.origin = clock, clock()
        self.spans: list[Span] = []
        self._learning: tuple[int, float] | None = None

    @contextmanager
    def span(self, phase: str, rollout: int) -> Iterator[None]:
        ended = self.begun(phase, rollout)
        yield
        ended()

    def begun(self, phase: str, rollout: int) -> Callable[..., None]:
        """What is to be called at the end, whatever with: the callback of a future, too."""
        start = self._now()

        def ended(*_: Any) -> None:
            self.spans.append(Span(phase, rollout, start, self._now()))

        return ended

    def learns(self, rollout: int) -> None:
        """From here on the policy learns from that rollout."""
        self._learning = rollout, self._now()

    def learned(self) -> None:
        """It has learned from the last one, if there was one."""
        if self._learning is not None:
            rollout, start = self._learning
            self.spans.append(Span("learning", rollout, start, self._now()))
            self._learning = None

    def _now(self) -> float:
        return self.clock() - self.origin
