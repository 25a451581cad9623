"""One owner of a run's folder: a lock that names its host and process, and that the death of its owner opens.

The kernel's record lock decides among processes that it can see, which on NFS are those of all hosts. Where a file
system has no such locks, or keeps them to one host, the owner's heartbeat decides: a number that grows in the file. It
is watched, not compared with a clock, so clocks that differ or jump decide nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from urt_core.errors import DataError
from urt_train.errors import TrainError

LOCK = "run.lock"
SECONDS_BETWEEN_BEATS = 5.0
SECONDS_WATCHED = 30.0
"""How long another host's lock is watched before it counts as left behind; longer than NFS keeps what it knows of a
file."""
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)


class OwnedError(TrainError):
    """Another process has the folder."""


@contextmanager
def owned(folder: Path, *, say: Callable[[str], object] = print) -> Iterator[None]:
    """The folder is this process's while the context lasts; OwnedError where it is another's, DataError where it can't
    be written."""
    path = folder / LOCK
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise DataError(
            f"{folder} can't be written ({error.strerror}); make it writable, or set output_root to another folder"
        ) from error
    try:
        _take(handle, path, say)
        _sign(handle, 0)
        stop = threading.Event()
        beating = threading.Thread(target=_beat, args=(handle, stop), daemon=True, name=f"lock of {folder}")
        beating.start()
        try:
            yield
        finally:
            stop.set()
            beating.join()
            os.ftruncate(handle, 0)  # left in good order
    finally:
        os.close(handle)


def _take(handle: int, path: Path, say: Callable[[str], object]) -> None:
    before = _read(handle)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_locked = True
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise _other(path, before) from error
        if error.errno not in UNSUPPORTED:
            raise
        is_locked = False
    if before is None:
        return
    host = before.get("host")
    if host == socket.gethostname():
        if not is_locked and _runs(before) and not _is_this(before):
            raise _other(path, before)
    else:  # its lock may be one that this host does not see
        say(f"{path} is of {host}; watching for {SECONDS_WATCHED:g} s whether it is still alive")
        deadline = time.monotonic() + SECONDS_WATCHED
        while time.monotonic() < deadline:
            time.sleep(min(1.0, SECONDS_WATCHED))
            if _read(handle) != before:
                raise _other(path, before)
    say(f"{path} was left behind by process {before.get('pid')} on {host}, which is gone; taken over")


def _other(path: Path, owner: dict[str, Any] | None) -> OwnedError:
    who = "another process" if owner is None else f"process {owner.get('pid')} on {owner.get('host')}"
    return OwnedError(
        f"{path.parent} is in use by {who}; wait for it or stop it, or choose another output_root. ({path.name} opens by itself when"
        " that process ends)"
    )


def _read(handle: int) -> dict[str, Any] | None:
    """Who is named in the file; None where nobody is."""
    content = os.pread(handle, 4096, 0)
    try:
        found = json.loads(content)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _beat(handle: int, stop: threading.Event) -> None:
    beat = 0
    while not stop.wait(SECONDS_BETWEEN_BEATS):
        beat += 1
        _sign(handle, beat)


def _sign(handle: int, beat: int) -> None:
    content = {"host": socket.gethostname(), "pid": os.getpid(), "started": _start_of(os.getpid()), "beat": beat}
    with suppress(OSError):  # a full disk is no reason to end: blanks keep the length, so a beat needs no room
        os.pwrite(handle, json.dumps(content).encode().ljust(256) + b"\n", 0)


def _runs(owner: dict[str, Any]) -> bool:
    """Whether that very process is there: another one may have got its number."""
    return owner.get("started") is not None and _start_of(owner.get("pid")) == owner["started"]


def _is_this(owner: dict[str, Any]) -> bool:
    return owner.get("pid") == os.getpid()


def _start_of(pid: Any) -> str | None:
    """When a process of this host started, in ticks since boot."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, TypeError, ValueError, IndexError):
        return None
