"""Files that are there completely or not at all, also after a power cut, and files that grow by whole lines."""

import errno
import io
import os
from pathlib import Path

from urt_core.errors import DataError

TEMPORARY_SUFFIX = ".partial"
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)
"""What a full, limited or read-only disk says."""


def temporary_path(path: Path) -> Path:
    """Where `path` is written before it gets its name: in the same folder, so that the rename is atomic, and found by
    no `*.tar`."""
    return path.with_name(path.name + TEMPORARY_SUFFIX)


def publish(temporary: Path, path: Path) -> None:
    """Give a file that was written and synced its final name, and make the name durable."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """After an error, what was there before is still there, and nothing beside it."""
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        publish(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    if os.name == "nt":  # where a folder can't be opened
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporaries(folder: Path) -> None:
    """Clear away what an interrupted writer left behind."""
    for path in folder.glob(f"*{TEMPORARY_SUFFIX}"):
        path.unlink()


def write_whole(path: Path, text: str) -> None:
    """Write `text` beside `path` and move it into its place; after an error, what was there before is still there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise cannot_write(path, error) from error


def append(path: Path, text: str) -> None:
    """Add whole lines to a file that grows with a run; after an error its last line may be half."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise cannot_write(path, error) from error


def whole_lines(path: Path) -> list[str]:
    """The lines of such a file, without a half one that a kill or a full disk left at the end."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1].decode("utf-8")
    return list(io.StringIO(whole, newline="\n"))  # str.splitlines would also cut at characters inside of a line


def cannot_write(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path} can't be written ({error.strerror or error}); make room in {path.parent}, then the same command goes on"
    )
