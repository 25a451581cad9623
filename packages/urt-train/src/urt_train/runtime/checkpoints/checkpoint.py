"""Folders that are complete or absent: checkpoints, and whatever else is written beside its place.

A folder is written beside its place, every file synced to disk, and renamed into its place as the last act. What
carries the final name is whole; what does not is never read. A checkpoint holds safetensors and JSON alone: nothing in
it is unpickled, and `complete.json`, which is written when the part of every process is there, has size and SHA-256 of
every file.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from urt_core.atomic import sync_folder
from urt_core.errors import CheckpointError

COMPLETE = "complete.json"
TRAINER = "trainer.json"
"""Where the run is: steps, rounds, position in the data."""
FORMAT = 2
"""Of a checkpoint's folder; 1 was a pickle."""
LARGEST_JSON = 256 << 20
"""Bytes of a JSON file that are read."""
GO_ON = "name another with ckpt_path=.../step_*, or start anew and lose that run with ckpt_path=null"


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write into; on leaving it has the name `folder`, or after an error it is gone."""
    partial = partial_folder(folder)
    with written(folder):
        begin(folder)
        yield partial
        publish(folder)


def begin(folder: Path) -> Path:
    """An empty folder beside `folder`, to be published."""
    partial, old = partial_folder(folder), _old(folder)
    if old.exists() and not folder.exists():  # killed between the two renames of `publish`
        os.replace(old, folder)
    for leftover in (partial, old):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def publish(folder: Path) -> None:
    """Sync what was written beside `folder`, and give it that name."""
    partial, old = partial_folder(folder), _old(folder)
    _sync(partial)
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def written(folder: Path, *, is_owner: bool = True) -> Iterator[None]:
    """What a full disk raises becomes one line; the owner of the folder clears away what was written beside it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if is_owner:
            shutil.rmtree(partial_folder(folder), ignore_errors=True)
        if is_owner and _old(folder).exists() and not folder.exists():
            os.replace(_old(folder), folder)
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise CheckpointError(
            f"{folder} can't be written ({reason}); what was there before is intact. Make room in {folder.parent}, then the"
            " same command goes on"
        ) from error


def partial_folder(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.partial")


def _old(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.old")


def checkpoint_folder(root: Path, step: int) -> Path:
    return root / f"step_{step:08d}"


def checkpoints(root: Path) -> list[Path]:
    """All that carry the name of a checkpoint, whole or not, the newest first."""
    return sorted((path for path in root.glob("step_*") if path.name[5:].isdigit()), reverse=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """What `complete.json` says: Seal(step=12, num_processes=2, files={"rank_00000.safetensors": (1048, "9f86d0..."),
    ...})"""

    step: int
    num_processes: int
    files: Mapping[str, tuple[int, str]]
    """Size in bytes and SHA-256 of every other file of the folder."""

    def save(self, folder: Path) -> None:
        content = {"format": FORMAT, "step": self.step, "num_processes": self.num_processes, "files": self.files}
        write_json(folder / COMPLETE, content)


def read_seal(folder: Path) -> Seal:
    """The seal of a checkpoint, every file of which is there in its size, and no other; CheckpointError that says what
    is wrong with it."""
    if not (folder / COMPLETE).exists():
        raise CheckpointError(f"{folder} is no complete checkpoint: it has no {COMPLETE}; {GO_ON}")
    content = read_json(folder / COMPLETE)
    version = content.get("format") if isinstance(content, dict) else None
    if not isinstance(version, int):
        raise CheckpointError(
            f"{folder} is no complete checkpoint: its {COMPLETE} names no format. Checkpoints of pickles (state.ckpt, DeepSpeed's) are"
            f" never opened; {GO_ON}"
        )
    if version != FORMAT:
        raise CheckpointError(
            f"{folder} has format {version}, this version of urt-train reads {FORMAT}: use the version that wrote it; or {GO_ON}"
        )
    try:
        files = {name: (int(size), str(digest)) for name, (size, digest) in content["files"].items()}
        seal = Seal(step=int(content["step"]), num_processes=int(content["num_processes"]), files=files)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{folder} is no complete checkpoint: {COMPLETE} is not as it is written; {GO_ON}"
        ) from error
    _check_names(folder, seal)
    for name, (size, _) in seal.files.items():
        path = folder / name
        if not path.is_file() or path.is_symlink() or path.stat().st_size != size:
            found = f"{path.stat().st_size:,} bytes of" if path.is_file() else "none of the"
            raise CheckpointError(f"{folder} is damaged: {name} has {found} its {size:,} bytes; {GO_ON}")
    # Hidden files are those of file systems and synchronisers.
    added = sorted({path.name for path in folder.glob("[!.]*")} - {COMPLETE, *seal.files})
    if added:
        raise CheckpointError(
            f"{folder} was changed after it was sealed: its {COMPLETE} does not name {added[0]}; take that away, or {GO_ON}"
        )
    return seal


def _check_names(folder: Path, seal: Seal) -> None:
    """All that a checkpoint of so many processes has, and nothing else."""
    expected = {TRAINER, *(name for rank in range(seal.num_processes) for name in part_names(rank))}
    if seal.num_processes < 1 or set(seal.files) != expected:
        missing = sorted(expected - set(seal.files)) or sorted(set(seal.files) - expected)
        raise CheckpointError(
            f"{folder} is no complete checkpoint of {seal.num_processes} processes ({missing[:1]}); {GO_ON}"
        )
    if strange := sorted(name for name, (_, digest) in seal.files.items() if not re.fullmatch("[0-9a-f]{64}", digest)):
        raise CheckpointError(f"{folder} is no complete checkpoint: {strange[0]} has no SHA-256; {GO_ON}")


def part_names(rank: int) -> tuple[str, str]:
    """(layout and random states, tensors) of one process."""
    return f"rank_{rank:05d}.json", f"rank_{rank:05d}.safetensors"


def check_hash(folder: Path, seal: Seal, name: str) -> None:
    size, digest = seal.files[name]
    if fingerprint(folder / name) != (size, digest):
        raise CheckpointError(f"{folder} is damaged: {name} has other bytes than were written; {GO_ON}")


def is_complete(folder: Path) -> bool:
    """Whether every file of the checkpoint is there with its size and hash."""
    try:
        seal = read_seal(folder)
        for name in seal.files:
            check_hash(folder, seal, name)
    except CheckpointError:
        return False
    return True


def newest_checkpoint(root: Path) -> Path | None:
    """The checkpoint with the most steps, None where there is none; CheckpointError where it is not whole by names and
    sizes."""
    found = checkpoints(root)
    if not found:
        return None
    try:
        read_seal(found[0])
    except CheckpointError as error:
        older = next((path for path in found[1:] if is_complete(path)), None)
        hint = "" if older is None else f"; whole is ckpt_path={older}"
        raise CheckpointError(f"{error}{hint}") from error
    return found[0]


def prune(root: Path, *, keep: int) -> None:
    """Drop all but the newest complete checkpoints, and what was never finished.

    One that is dropped first loses its name: half of it must not stand there as a checkpoint where this is cut off.
    """
    dropped = [path for path in checkpoints(root) if (path / COMPLETE).exists()][keep:]
    _clear_unfinished(root)
    for path in dropped:
        os.replace(path, partial_folder(path))
    _clear_unfinished(root)


def _clear_unfinished(root: Path) -> None:
    for leftover in root.glob("step_*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)


def read_json(path: Path) -> Any:
    """The content of a JSON file from outside, of a size that is expected of it."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        if path.stat().st_size > LARGEST_JSON:
            raise CheckpointError(f"{path} has {path.stat().st_size:,} bytes, allowed are {LARGEST_JSON:,}; {GO_ON}")
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} can't be read ({str(error).splitlines()[0]}); {GO_ON}") from error


def write_json(path: Path, content: Any) -> None:
    with path.open("w", encoding="utf-8") as file:
        json.dump(content, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def fingerprint(path: Path) -> tuple[int, str]:
    """(size in bytes, SHA-256)"""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o644)  # safetensors lets nobody but the owner read, and a server may be another user
            with path.open("rb") as file:
                os.fsync(file.fileno())
    sync_folder(folder)
