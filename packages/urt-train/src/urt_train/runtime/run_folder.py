"""The folder of a run: what it was made with, whether it is finished, and whether it may go on under the settings of
today."""

from __future__ import annotations

import json
import platform
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from urt_core.atomic import append, whole_lines, write_whole
from urt_core.errors import ConfigError
from urt_train.runtime.checkpoints.checkpoint import newest_checkpoint, read_json, read_seal
from urt_train.runtime.identity import Identity, changes, digest, model_files, refuse

IDENTITY = "identity.json"
SEGMENTS = "segments.jsonl"
"""A line for each time that the run went on with other settings: {"from_step": 13, "changes": {"grpo.max_steps": [12,
20]}}"""
FINISHED = "finished.json"
RUN_ID = "run_id"
QUARANTINE_FILES = "quarantine*.jsonl"
"""Of every process one: the pairs that it could not read."""

PACKAGES = (
    "urt-core",
    "urt-data",
    "urt-kernels",
    "urt-train",
    "torch",
    "transformers",
    "lightning",
    "hydra-core",
    "numpy",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run's folder, opened: Run(folder=Path("outputs/tiny/grpo"), id="3f9c01ab", segment=1, is_finished=False)"""

    folder: Path
    id: str
    """Of this run and no other, however often it goes on."""
    segment: int
    """1, and one more for each time that it went on with other settings."""
    is_finished: bool
    """Whether the judge of today's identity is there."""


def open_folder(
    folder: Path,
    *,
    identity: Identity,
    config: str,
    is_anew: bool,
    accepted: Sequence[str] = (),
) -> Run:
    """The folder with `config.yaml` (the text of `config`), `environment.json` and `identity.json` of today.

    ConfigError where it holds a run of another identity, unless the settings that differ are `accepted`: then it goes
    on as a new segment, which `segments.jsonl` has with its first step and what changed. `is_anew` clears what another
    run left.
    """
    path = folder / IDENTITY
    if is_anew:
        _clear(folder)
    found = changed(folder, identity)
    refuse(folder, found, accepted=accepted)
    if found:
        newest = newest_checkpoint(folder / "checkpoints")
        step = 0 if newest is None else read_seal(newest).step
        line = json.dumps({"from_step": step + 1, "changes": found}) + "\n"
        if whole_lines(folder / SEGMENTS)[-1:] != [line]:  # else killed here before
            append(folder / SEGMENTS, line)
    write_whole(path, json.dumps(identity, indent=1) + "\n")  # the first: what lacks it is of an older version
    if not (folder / RUN_ID).exists():
        write_whole(folder / RUN_ID, secrets.token_hex(4) + "\n")
    write_whole(folder / "config.yaml", config)
    write_whole(folder / "environment.json", json.dumps(environment(), indent=1) + "\n")
    finished = folder / FINISHED
    return Run(
        folder=folder,
        id=(folder / RUN_ID).read_text(encoding="utf-8").strip(),
        segment=1 + len(whole_lines(folder / SEGMENTS)),
        is_finished=finished.exists() and read_json(finished).get("identity") == digest(identity),
    )


def changed(folder: Path, identity: Identity) -> dict[str, tuple[Any, Any]]:
    """What of `identity` is otherwise in the run that the folder holds; nothing where it holds none."""
    if (folder / IDENTITY).exists():
        return changes(read_json(folder / IDENTITY), identity)
    if (folder / "config.yaml").exists():
        raise ConfigError(
            f"{folder} holds a run without {IDENTITY}, of an older version: choose another output_root, or start anew and lose that run"
            " with ckpt_path=null"
        )
    return {}


def finish(folder: Path, *, identity: Identity) -> None:
    """Write down that the judge of this identity is there."""
    write_whole(folder / FINISHED, json.dumps({"identity": digest(identity)}) + "\n")


def _clear(folder: Path) -> None:
    for leftover in ("checkpoints", "model", "tensorboard"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    for name in (
        "metrics.csv",
        "rollouts.jsonl",
        "timeline.jsonl",
        "config.yaml",
        SEGMENTS,
        FINISHED,
        RUN_ID,
        IDENTITY,
    ):
        (folder / name).unlink(missing_ok=True)
    for leftover in folder.glob(QUARANTINE_FILES):
        leftover.unlink()


def environment() -> dict[str, str]:
    """What one needs to repeat the run: {"commit": "c595aac...", "python": "3.11.9", "torch": "2.13.0+cpu", ...}"""
    found = {"commit": commit(), "python": platform.python_version(), "machine": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str:
    """The commit of the working tree this file lies in, marked where tracked files were changed; "unknown" outside of
    git."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()
        changes = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=here, check=False).returncode
    except (FileNotFoundError, subprocess.CalledProcessError):
        return "unknown"
    return head + (" with uncommitted changes" if changes else "")


def folder_hash(folder: str | Path) -> str:
    """SHA-256 over what shapes weights, tokens and pixels in a local model folder; the id itself for a model of a
    hub."""
    files = model_files(folder)
    return digest(files) if set(files) != {"initial"} else str(folder)
