"""What all processes of a run have spent: each writes a growing file of its own, and reads what is new in the others'.

No lock is needed: a file has one writer, and a note reaches it in one piece.
"""

import threading
from collections import Counter
from pathlib import Path

from urt_core.atomic import cannot_write
from urt_core.engines import Usage
from urt_core.errors import DataError


class Spending:
    """Notes of tokens, in `parts/rank-????.spent` of a run's folder.

    spending = Spending(folder / "parts" / "rank-0001.spent"); spending.note(Usage(prompt_tokens=812)); spending.total()
    """

    def __init__(self, own: Path) -> None:
        self.own = own
        self._read_to: Counter[Path] = Counter()
        self._num_lines: Counter[Path] = Counter()
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
                    self._num_lines[path] += 1
                    self._total += read_note(line, where=f"{path}, line {self._num_lines[path]}")
                self._read_to[path] += len(new) + bool(new)
            return self._total


def read_note(line: bytes, *, where: str) -> Usage:
    try:
        prompt, completion = map(int, line.split())
    except ValueError:
        raise DataError(
            f"{where}: {line[:60]!r} is no note of what was spent, such as '812 164' (tokens of prompt and completion); mend or "
            "remove the line"
        ) from None
    return Usage(prompt_tokens=prompt, completion_tokens=completion)
