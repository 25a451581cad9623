"""Folders that are complete or absent: checkpoints, and whatever else is written beside its place.

A folder is written beside its place, every file synced to disk, and renamed into its place as the last act. What carries the
final name is whole; what does not is never read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException

from urt_core.atomic import sync_folder
from urt_core.errors import CheckpointError

COMPLETE = "complete.json"
STATE = "state.ckpt"
PROCESSES = "processes.json"
"""How many processes saved it: {"num_processes": 8}"""


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into; on leaving it has the name `folder`, or after an error it is gone."""
    partial = partial_folder(folder)
    old = folder.with_name(f"{folder.name}.old")
    try:
        if old.exists() and not folder.exists():  # killed between the two renames below
            os.replace(old, folder)
        for leftover in (partial, old):
            shutil.rmtree(leftover, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        _sync(partial)
        if folder.exists():
            os.replace(folder, old)
        os.replace(partial, folder)
        sync_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except (*WRITE_ERRORS, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_of_torch_writer(error):
            raise
        shutil.rmtree(partial, ignore_errors=True)
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        raise CheckpointError(
            f"{folder} can't be written ({_reason(error)}); what was there before is intact. Make room in {folder.parent}, then the"
            " same command goes on"
        ) from error


WRITE_ERRORS = (OSError, SafetensorError, CheckpointException)
"""What Python, safetensors and torch's sharded checkpoints raise on a full disk."""


def _is_of_torch_writer(error: RuntimeError) -> bool:
    """torch.save to a path names the source line of its zip writer, and no type of its own."""
    return "inline_container" in str(error) or "PytorchStreamWriter" in str(error)


def _reason(error: BaseException) -> str:
    if isinstance(error, CheckpointException):
        return "; ".join(sorted({_reason(failure) for failure, _ in error.failures.values()}))
    return getattr(error, "strerror", None) or str(error).splitlines()[0]


def partial_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.partial")


def seal(folder: Path) -> None:
    """Write sizes and SHA-256 of all files into `complete.json`."""
    files = {str(path.relative_to(folder)): _fingerprint(path) for path in _files(folder)}
    (folder / COMPLETE).write_text(json.dumps(files, indent=1) + "\n", encoding="utf-8")


def is_complete(folder: Path) -> bool:
    """Whether every file that `seal` listed is there with its size and hash."""
    try:
        files = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return all((folder / name).is_file() and _fingerprint(folder / name) == found for name, found in files.items())


def checkpoint_folder(root: Path, step: int) -> Path:
    return root / f"step_{step:08d}"


def newest_checkpoint(root: Path) -> Path | None:
    """The complete checkpoint with the most steps."""
    candidates = sorted((path for path in root.glob("step_*") if path.name[5:].isdigit()), reverse=True)
    return next((path for path in candidates if is_complete(path)), None)


def prune(root: Path, *, keep: int) -> None:
    """Drop all but the newest complete checkpoints, and what was never finished."""
    complete = sorted((path for path in root.glob("step_*") if (path / COMPLETE).exists()), reverse=True)
    for path in complete[keep:]:
        shutil.rmtree(path, ignore_errors=True)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != COMPLETE)


def _fingerprint(path: Path) -> list[int | str]:
    with path.open("rb") as file:
        return [path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()]


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)  # safetensors lets nobody but the owner read, and a server may be another user
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
