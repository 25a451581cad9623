"""Who is alive: a file that is locked as long as its process is, beside what several processes share.

The system lets go of the lock when the process ends, however it ends, so that nobody waits for the dead and no clock is asked.
"""

import os
import uuid
import weakref
from pathlib import Path

try:
    import fcntl
except ImportError:  # where files can't be locked, an owner lives as long as its file does
    fcntl = None


class Owner:
    """This process, as others see it: Owner(Path("judgements.sqlite")).name stands in what it owns."""

    def __init__(self, shared: Path) -> None:
        self.name = f"{os.getpid()}-{uuid.uuid4().hex}"
        self.pid = os.getpid()
        self._path = path_of(shared, self.name)
        self._file = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
        if fcntl:
            fcntl.flock(self._file, fcntl.LOCK_EX)
        self.release = weakref.finalize(self, let_go, self._file, self._path, self.pid)
        """Says that nothing is owned any more; also done when this is collected, and at the end of the process."""


def let_go(file: int, path: Path, pid: int) -> None:
    if os.getpid() == pid:  # a child of a fork has not made the file
        path.unlink(missing_ok=True)
    os.close(file)


def is_alive(shared: Path, name: str) -> bool:
    """Whether the process that made this owner still runs and holds on to it. What a dead one left is removed."""
    path = path_of(shared, name)
    try:
        file = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        if fcntl is None:
            return True
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
        return False
    except OSError:
        return True
    finally:
        os.close(file)


def path_of(shared: Path, name: str) -> Path:
    """Only what can be an owner's name becomes a path: names come out of a file."""
    return shared.with_name(
        f"{shared.name}.owner-{''.join(char for char in name if char.isalnum() or char == '-')[:80]}"
    )
