"""How far a command is: done, failed, tokens per second, time left. One line that changes on a terminal, else a line now
and then. By hand, because the base install has no rich; `urt_core.progress_bar` is for loops that others print beside."""

import sys
import time
from types import TracebackType
from typing import Self

LINE_EVERY_S = 30.0
REDRAW_EVERY_S = 0.2
ERASE_LINE = "\r\x1b[2K"


class Progress:
    """with Progress(total=1000, done=200) as progress: progress.advance(failed=False, num_tokens=164)"""

    def __init__(self, *, total: int, done: int = 0) -> None:
        self.total, self.done, self.failed, self.num_tokens = total, done, 0, 0
        self._already = done
        self._is_terminal = sys.stderr.isatty()

    def __enter__(self) -> Self:
        self._began = self._shown = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._show()
        if self._is_terminal:
            print(file=sys.stderr)

    def advance(self, *, failed: bool, num_tokens: int) -> None:
        self.done += 1
        self.failed += failed
        self.num_tokens += num_tokens
        if time.monotonic() - self._shown > (REDRAW_EVERY_S if self._is_terminal else LINE_EVERY_S):
            self._show()

    def say(self, text: str) -> None:
        print(f"{ERASE_LINE if self._is_terminal else ''}{text}", file=sys.stderr)

    @property
    def line(self) -> str:
        asked, elapsed_s = self.done - self._already, max(1e-9, time.monotonic() - self._began)
        note = f"{self.failed:,} failed, {self.num_tokens / elapsed_s:,.0f} tokens/s"
        left_s = (self.total - self.done) * elapsed_s / asked if asked else None
        return how_far(self.done, self.total, note=note, left_s=left_s)

    def _show(self) -> None:
        self._shown = time.monotonic()
        if self._is_terminal:
            print(f"{ERASE_LINE}{self.line}", end="", file=sys.stderr, flush=True)
        else:
            print(self.line, file=sys.stderr)


def how_far(done: int, total: float | None, *, note: str, left_s: float | None) -> str:
    """
    >>> how_far(62, 1000, note="1 failed", left_s=190.0)
    '62/1,000, 1 failed, about 3 min left'
    """
    line = ", ".join(filter(None, [f"{done:,}" if total is None else f"{done:,}/{total:,.0f}", note]))
    return line if left_s is None or done == total else f"{line}, about {duration(left_s)} left"


def duration(seconds: float) -> str:
    """As a person says it: 42 s, 7 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
