"""Files that are there completely or not at all, also after a power cut."""

import os
from pathlib import Path

TEMPORARY_SUFFIX = ".partial"


def temporary_path(path: Path) -> Path:
    """Where `path` is written before it gets its name: in the same folder, so that the rename is atomic, and found by no `*.tar`."""
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
