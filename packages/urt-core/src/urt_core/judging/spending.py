"""What all processes of a run have spent: each writes a growing file of its own, and reads what is new in the others'.

No lock is needed: a file has one writer, and a note reaches it in one piece.
"""

import threading
from collections import Counter
from pathlib import Path

from urt_core.atomic import cannot_write
from urt_core.engines import Usage


class Spending:
    """Notes of tokens, in `parts/rank-????.spent` of a run's folder.

    spending = Spending(folder / "parts" / "rank-0001.spent"); spending.note(Usage(prompt_tokens=812)); spending.total()
    """

    def __init__(self, own: Path) -> None:
        self.own = own
        self._read_to: Counter[Path] = Counter()
        self._total = Usage()
        self._lock = threading.Lock()

    def note(self, usage: Usage) -> None:
        """On disk when this returns; `DataError` where the disk is full."""
        if usage == Usage():
            return
        try:
            with self.own.open("ab", buffering=0) as file:
                file.write(b"%d %d\n" % (usage.prompt_tokens, usage.completion_tokens))
        except OSError as error:
            raise cannot_write(self.own, error) from error

    def total(self) -> Usage:
        """Of all processes, those of runs that were stopped included, by now."""
        with self._lock:
            for path in self.own.parent.glob("rank-????.spent"):
                with path.open("rb") as file:
                    file.seek(self._read_to[path])
                    new, _, _ = file.read().rpartition(b"\n")  # what is behind it, a process has yet to finish
                for line in new.splitlines():
                    prompt, completion = map(int, line.split())
                    self._total += Usage(prompt_tokens=prompt, completion_tokens=completion)
                self._read_to[path] += len(new) + bool(new)
            return self._total
