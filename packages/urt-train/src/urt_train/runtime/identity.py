"""What a run is: every value that can change its numbers, by name; and how a run with one identity goes on with
another.

{"grpo.kl_coef": 0.04, "model.attention": "sdpa", "trainer.precision": "32-true", "strategy._target_": "...",
"initial/chat_template.jinja": "9f86d0...", "data": "60303a...", "processes": 8, "accelerator": "cpu", "torch": "2.13",
...}
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from urt_core.errors import ConfigError

FREE = (
    # Where things lie and what they are called; their contents are compared.
    "recipe",
    "output_root",
    "checkpoint",
    "ckpt_path",
    "stage",
    "stages",
    "model.base",
    "*.initial",
    "data.train",
    "data.pool",
    "data.validation",
    "data.test",
    "data.cold_start",
    "data.accepted",
    "data.hard",
    "data.contrasts",
    "data.others*",
    "data.source",
    "data.counts*",
    "data.options*",
    # How it is started, watched and reported.
    "given*",
    "go_on_with*",
    "run_missing",
    "logger*",
    "dry_run*",
    "trainer.progress_bar",
    "trainer.log_every",
    "trainer.timeout_s",
    "trainer.num_threads",
    "trainer.devices",  # the number of processes is compared
    "trainer.num_nodes",
    "trainer.accelerator",  # as is what it turns out to be
    # Words in judge.json.
    "judge.about",
    # Other steps of the recipe.
    "distill*",
    "evaluation*",
    # When to save, how long to wait, whom to ask.
    "*.save_every",
    "*.keep_checkpoints",
    "*.vllm_servers*",
    "*.vllm_timeout_s",
    "*.base_url",
    "*.api_key_env",
    "*.concurrency",
    "*.retries",
    "*.timeout",
    "*.budget_tokens",
    "*.budget_cost",
    "*.prompt_price",
    "*.completion_price",
    "*.weight_transfer",
    # How data is read ahead.
    "data.workers",
    "data.prefetch",
    "data.cache*",
    # When a run ends for damage, and what it may be made of: neither changes a number.
    "data.quarantine*",
    "data.allow_noncommercial",
    # Checks that stop a run or let it pass, and touch nothing.
    "*.parity_every",
    "*.parity_limit",
    # How much is sampled at once.
    "*.generation_batch_size",
    "*.judge_batch_size",
    "*.vllm_cache_gib",
    # The same sums at another price in memory, equal up to rounding (lora.dropout draws other masks): layouts, cuts of
    # a step, activations kept or computed again.
    "*.batching",
    "*.micro_batch_size",
    "*.micro_batch_tokens",
    "*.gradient_checkpointing",
)
"""Settings that may change when a run goes on; all others are its identity."""
FIXED = ("seed", "*.steps_per_rollout", "judge.*", "model.*", "data*", "initial*")
"""What no run goes on with when it changes, but for `CHANGEABLE`: it would be another run."""
CHANGEABLE = ("model.attention",)
PACKAGES = ("torch", "transformers", "lightning", "urt-core", "urt-data", "urt-kernels", "urt-train")
"""Versions that belong to a run, by their first two numbers: 2.13.1 goes on with what 2.13.0 began."""
CODE = ("urt_core", "urt_data", "urt_kernels", "urt_train")

Identity = dict[str, Any]


def flat(settings: Mapping[str, Any], *, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of nested settings under its dotted name; a list is a leaf."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, prefix=f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def run_identity(
    settings: Mapping[str, Any], *, stage: str, other_stages: Iterable[str], facts: Mapping[str, Any]
) -> Identity:
    """`settings` is the whole config as plain values, of which the sections of `other_stages` do not count; `facts`
    what is known besides: {"processes": 8, "accelerator": "cuda", "data": "60303a..."}."""
    free = (*FREE, *(pattern for other in other_stages for pattern in (other, f"{other}.*")))
    kept = {name: value for name, value in flat(settings) if not any(fnmatch.fnmatchcase(name, p) for p in free)}
    versions = {name: short for name in PACKAGES if (short := short_version(name))}
    return json.loads(json.dumps({**kept, **facts, **versions}))


def short_version(package: str) -> str:
    try:
        return ".".join(version(package).split("+")[0].split(".")[:2])
    except PackageNotFoundError:
        return ""


def digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def changes(before: Mapping[str, Any], today: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """{"grpo.max_steps": (2, 4)}"""
    return {
        name: (before.get(name), today.get(name))
        for name in sorted({*before, *today})
        if before.get(name) != today.get(name)
    }


def refuse(folder: Path, found: Mapping[str, tuple[Any, Any]], *, accepted: Sequence[str]) -> None:
    """ConfigError where the run has changed in something that was not said, or that it can't go on with."""
    fixed = [name for name in found if _is_fixed(name)]
    unsaid = [name for name in found if name not in accepted]
    if not unsaid and not fixed:
        return
    listed = "; ".join(f"{name} was {_shown(found[name][0])}, is {_shown(found[name][1])}" for name in fixed or unsaid)
    said = "" if fixed else f", go on with the change (go_on_with=[{','.join(found)}])"
    raise ConfigError(
        f"{folder} holds a run with other settings ({listed}): keep them{said}, choose another output_root, or start anew and lose"
        " that run with ckpt_path=null"
    )


def _is_fixed(name: str) -> bool:
    return name not in CHANGEABLE and any(fnmatch.fnmatchcase(name, pattern) for pattern in FIXED)


def _shown(value: Any) -> str:
    return f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else str(value)


def model_files(folder: str | Path) -> dict[str, str]:
    """SHA-256 of every file of a local model folder that shapes weights, tokens or pixels; the id itself for a model of
    a hub.

    {"initial/model.safetensors": "9f86d0...", "initial/chat_template.jinja": ..., "initial/tokenizer.json": ...}
    """
    found = {f"initial/{path.name}": _hash(path) for path in _model_files(folder)}
    return found or {"initial": str(folder)}


def file_sizes(folder: str | Path) -> dict[str, int]:
    """What every rank can say of its own copy of a model folder without reading it."""
    return {f"size of {path.name}": path.stat().st_size for path in _model_files(folder)}


def file_states(folder: str | Path) -> dict[str, tuple[int, int]]:
    """What a file's state shows as soon as it is written to: {"model.safetensors": (bytes, nanoseconds)}; compared with
    itself alone, not with a clock."""
    found = {path.name: path.stat() for path in _model_files(folder)}
    return {name: (status.st_size, status.st_mtime_ns) for name, status in found.items()}


def _model_files(folder: str | Path) -> list[Path]:
    patterns = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
    return sorted(path for pattern in patterns for path in Path(folder).glob(pattern))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_hash() -> str:
    """SHA-256 over the Python files of our packages as they are installed here: all ranks must run the same."""
    total = hashlib.sha256()
    for package in CODE:
        spec = find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            for path in sorted(Path(place).rglob("*.py")):
                total.update(f"{path.relative_to(place)}".encode() + path.read_bytes())
    return total.hexdigest()
