"""Text files that are there completely or not at all, and files that grow by whole lines."""

from __future__ import annotations

import io
from pathlib import Path

from urt_core.atomic import write_atomically
from urt_core.errors import DataError


def write_whole(path: Path, text: str) -> None:
    """Write `text` beside `path` and move it into its place; after an error, what was there before is still there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise _cannot_write(path, error) from error


def append(path: Path, text: str) -> None:
    """Add whole lines to a file that grows with a run; after an error its last line may be half."""
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        raise _cannot_write(path, error) from error


def whole_lines(path: Path) -> list[str]:
    """The lines of such a file, without a half one that a kill or a full disk left at the end."""
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1].decode("utf-8")
    return list(io.StringIO(whole, newline="\n"))  # str.splitlines would also cut at characters inside of a line


def _cannot_write(path: Path, error: OSError) -> DataError:
    return DataError(
        f"{path} can't be written ({error.strerror or error}); make room in {path.parent}, then the same command goes on"
    )
