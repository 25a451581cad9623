"""The folder of a run: what it was made with, whether it is finished, and whether it may go on under the settings of today."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from urt_core.atomic import append, whole_lines, write_whole
from urt_core.errors import ConfigError
from urt_train.config import TrainConfig
from urt_train.runtime.checkpoint import newest_checkpoint, read_json, read_seal
from urt_train.runtime.identity import Identity, changes, digest, refuse
from urt_train.runtime.ranks import started_first

IDENTITY = "identity.json"
SEGMENTS = "segments.jsonl"
"""A line for each time that the run went on with other settings: {"from_step": 13, "changes": {"grpo.max_steps": [12, 20]}}"""
FINISHED = "finished.json"

FREE_TO_CHANGE = (
    # When to save, how long to wait, whom to ask: nothing else is computed.
    "save_every",
    "keep_checkpoints",
    "vllm_servers",
    "vllm_timeout_s",
    "weight_transfer",
    # Checks that stop a run or let it pass, and touch nothing.
    "parity_every",
    "parity_limit",
    # How much is sampled at once.
    "generation_batch_size",
    "judge_batch_size",
    "vllm_cache_gib",
    # The same sums at another price in memory, equal up to rounding (lora.dropout draws other masks): layouts, kernels, activations
    # kept or computed again, cuts of a step.
    "batching",
    "attention",
    "gradient_checkpointing",
    "micro_batch_size",
)
"""Fields that may change when a run goes on."""
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


def open_run(config: TrainConfig, *, inputs: Mapping[str, str]) -> Path:
    """The stage's folder, with `config.yaml` and `environment.json` of today; refuses to mix with a run of other settings.

    `inputs` are hashes of what the stage is made from: {"model": "9f86d0...", "data": "60303a..."}.
    """
    folder = config.stage_dir()
    if config.ckpt_path is not None and (folder / "inputs.json").exists():
        _refuse_other_settings(config, folder, inputs)
    if not started_first():
        return folder
    if config.ckpt_path is None:
        for leftover in ("checkpoints", "model", "tensorboard"):
            shutil.rmtree(folder / leftover, ignore_errors=True)
        for name in ("metrics.csv", "rollouts.jsonl", "inputs.json", "config.yaml"):
            (folder / name).unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
    _write(folder / "environment.json", json.dumps(environment(), indent=1) + "\n")
    _write(folder / "inputs.json", json.dumps(dict(inputs), indent=1) + "\n")
    return folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A run's folder, opened: Run(folder=Path("outputs/tiny/grpo"), segment=1, is_finished=False)"""

    folder: Path
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

    ConfigError where it holds a run of another identity, unless the settings that differ are `accepted`: then it goes on as a new
    segment, which `segments.jsonl` has with its first step and what changed. `is_anew` clears what another run left.
    """
    path = folder / IDENTITY
    if is_anew:
        _clear(folder)
    elif not path.exists() and (folder / "config.yaml").exists():
        raise ConfigError(
            f"{folder} holds a run without {IDENTITY}, of an older version: choose another output_root, or start anew and lose that run"
            " with ckpt_path=null"
        )
    found = changes(read_json(path), identity) if path.exists() else {}
    refuse(folder, found, accepted=accepted)
    if found:
        newest = newest_checkpoint(folder / "checkpoints")
        step = 0 if newest is None else read_seal(newest).step
        append(folder / SEGMENTS, json.dumps({"from_step": step + 1, "changes": found}) + "\n")
    write_whole(folder / "config.yaml", config)
    write_whole(folder / "environment.json", json.dumps(environment(), indent=1) + "\n")
    write_whole(path, json.dumps(identity, indent=1) + "\n")
    finished = folder / FINISHED
    return Run(
        folder=folder,
        segment=1 + len(whole_lines(folder / SEGMENTS)),
        is_finished=finished.exists() and read_json(finished).get("identity") == digest(identity),
    )


def finish(folder: Path, *, identity: Identity) -> None:
    """Write down that the judge of this identity is there."""
    write_whole(folder / FINISHED, json.dumps({"identity": digest(identity)}) + "\n")


def _clear(folder: Path) -> None:
    for leftover in ("checkpoints", "model", "tensorboard"):
        shutil.rmtree(folder / leftover, ignore_errors=True)
    for name in ("metrics.csv", "rollouts.jsonl", "config.yaml", IDENTITY, SEGMENTS, FINISHED):
        (folder / name).unlink(missing_ok=True)


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
    """The commit of the working tree this file lies in, marked where tracked files were changed; "unknown" outside of git."""
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
    """SHA-256 over the weights of a local model folder; the id itself for a model of a hub."""
    files = sorted(Path(folder).glob("*.safetensors"))
    if not files:
        return str(folder)
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _refuse_other_settings(config: TrainConfig, folder: Path, inputs: Mapping[str, str]) -> None:
    # Of a rollout that came short, each of several steps gets a share of its micro-batches: cut otherwise, of other completions.
    num_steps = getattr(config.stage_config, "steps_per_rollout", 1)
    free = set(FREE_TO_CHANGE) - ({"micro_batch_size"} if num_steps > 1 else set())
    before = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    today = OmegaConf.to_container(OmegaConf.structured(config), enum_to_str=True)
    assert isinstance(before, dict)
    assert isinstance(today, dict)
    differences = [
        f"{name} was {old}, is {new}"
        for section in (config.stage, "model", "judge", "seed")
        for name, old, new in _differences(section, before.get(section), today[section], free=free)
    ]
    made_from = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    differences += [f"its {name} is another one" for name, value in inputs.items() if made_from.get(name) != value]
    if differences:
        raise ConfigError(
            f"{folder} holds a run with other settings ({'; '.join(differences)}): keep them, choose another output_root, or"
            " start anew and lose that run with ckpt_path=null"
        )


def _differences(name: str, old: Any, new: Any, *, free: Set[str]) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(new.keys() - free):
            yield from _differences(f"{name}.{key}", old.get(key), new[key], free=free)
    elif old != new:
        yield name, old, new


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
