"""Files that are there completely or not at all, also after a power cut."""

import os
from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"


def temporary_path(path: Path) -> Path:
    """Where `path` is written before it gets its name; in the same folder, so that the rename is atomic."""
    return path.with_name(TEMPORARY_PREFIX + path.name)


def publish(temporary: Path, path: Path) -> None:
    """Give a file that was written and synced its final name, and make the name durable."""
    os.replace(temporary, path)
    sync_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    temporary = temporary_path(path)
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    publish(temporary, path)


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_temporaries(folder: Path) -> None:
    """Clear away what an interrupted writer left behind."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink()
