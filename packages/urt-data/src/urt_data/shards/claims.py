"""What a manifest and an index say, checked before any of it is believed: types, sums, names, hashes.

Both may come from anywhere, a hash in them becomes the name of a file in a cache, and a size becomes a request for
memory. So a hash is 64 hexadecimal digits, a shard's name a plain name, a key a key, a count a count, and samples lie
inside their shard.
"""

import re
from collections.abc import Mapping
from typing import Any

from urt_core.records import KEY_PATTERN, Task
from urt_data.errors import ShardError

SHARD_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.tar")
SHA256 = re.compile(r"[0-9a-f]{64}")
LABEL = re.compile(r"[a-z_]{1,40}")
MAX_COUNT = 2**53
"""More bytes or samples than any disk holds, and exact in every JSON reader."""
TASKS = frozenset(str(task) for task in Task)
REBUILD = "rebuild it with `urt-data index`"


def check_manifest(document: Mapping[str, Any], *, name: str) -> None:
    """Refuse what no writer of ours puts into a manifest."""
    if not isinstance(document.get("metadata"), dict) or not isinstance(document.get("shards"), list):
        raise ShardError(f"{name} is not a manifest of shards: it has no metadata or no list of shards; {REBUILD}")
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in document["shards"]]
    for shard, entry in zip(names, document["shards"], strict=True):
        if not isinstance(shard, str) or not SHARD_NAME.fullmatch(shard):
            raise ShardError(
                f"{name} names shard {str(shard)[:80]!r}; a shard is a .tar file in the manifest's own folder"
            )
        _check_entry(entry, manifest=name)
    if len(set(names)) != len(names):
        twice = next(shard for shard in names if names.count(shard) > 1)
        raise ShardError(f"{name} lists shard {twice!r} twice; {REBUILD}")

    if document.get("repaired") is not None:
        _check_repaired(document["repaired"], document["shards"], name=name)


def _check_repaired(repaired: object, shards: list[Mapping[str, Any]], *, name: str) -> None:
    """The samples that were left out stand within their shard, each in a place of its own."""
    samples = repaired.get("excluded") if isinstance(repaired, Mapping) else None
    fields = {"shard", "row", "key", "task", "label"}
    well_formed = (
        isinstance(repaired, Mapping)
        and set(repaired) == {"manifest_sha256", "excluded"}
        and is_sha256(repaired["manifest_sha256"])
        and isinstance(samples, list)
        and all(
            isinstance(sample, Mapping)
            and set(sample) == fields
            and is_count(sample["shard"])
            and sample["shard"] < len(shards)
            and is_count(sample["row"])
            and isinstance(sample["key"], str)
            and KEY_PATTERN.fullmatch(sample["key"])
            and sample["task"] in TASKS
            and (sample["label"] is None or (isinstance(sample["label"], str) and LABEL.fullmatch(sample["label"])))
            for sample in samples
        )
    )
    if well_formed:
        rows: dict[int, list[int]] = {}
        for sample in samples:  # type: ignore[union-attr]  # a list, as `well_formed` says
            rows.setdefault(sample["shard"], []).append(sample["row"])
        well_formed = all(
            len(set(own)) == len(own) and max(own) < shards[shard]["num_samples"] + len(own)
            for shard, own in rows.items()
        )
    if not well_formed:
        raise ShardError(
            f"{name}: its list of samples that a repair left out is none of ours; repair the damaged folder again"
        )


def _check_entry(entry: Mapping[str, Any], *, manifest: str) -> None:
    where = f"{manifest}: shard {entry['name']}"
    for hashed in ("sha256", "index_sha256"):
        if not is_sha256(entry.get(hashed)):
            raise ShardError(
                f"{where} has {str(entry.get(hashed))[:80]!r} as {hashed}; a hash is 64 hexadecimal digits"
            )
    tasks, preferences = entry.get("tasks"), entry.get("preferences")
    counted = _counts(tasks, TASKS) and _counts(preferences, None)
    if (
        not counted
        or not is_count(entry.get("num_samples"))
        or not is_count(entry.get("num_bytes"))
        or sum(tasks.values()) != entry["num_samples"]  # type: ignore[union-attr]  # a mapping, as `counted` says
        or sum(preferences.values()) != entry["num_samples"]  # type: ignore[union-attr]
    ):
        raise ShardError(f"{where} has counts that are not whole numbers that add up; {REBUILD}")
    rows = entry.get("provenance")
    if not isinstance(rows, list) or not all(
        isinstance(row, Mapping) and is_count(row.get("num_samples")) for row in rows
    ):
        raise ShardError(f"{where} has a provenance that is no list of origins with their number of samples; {REBUILD}")
    for row in rows:
        try:
            check_origin(row)
        except ShardError as error:
            raise ShardError(f"{where}: {error}") from error


def check_index(document: Mapping[str, Any], *, name: str) -> None:
    """Refuse an index whose columns are not what they must be; their sums are checked where they are arrays."""
    keys = document.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) and KEY_PATTERN.fullmatch(key) for key in keys):
        raise ShardError(f"{name}: its keys are no list of keys of {KEY_PATTERN.pattern}; {REBUILD}")
    shard, tasks = document.get("shard"), document.get("task_names")
    if not isinstance(shard, str) or not SHARD_NAME.fullmatch(shard) or not is_sha256(document.get("sha256")):
        raise ShardError(f"{name} names no shard and its hash; {REBUILD}")
    if not isinstance(tasks, list) or not TASKS.issuperset(str(task) for task in tasks):
        raise ShardError(f"{name} has the tasks {str(tasks)[:80]}; allowed: {', '.join(sorted(TASKS))}")
    if not is_count(document.get("num_bytes")):
        raise ShardError(f"{name} has {str(document.get('num_bytes'))[:40]!r} bytes; {REBUILD}")
    hashes = document.get("sample_sha256")
    if not isinstance(hashes, list) or not all(is_sha256(digest) for digest in hashes):
        raise ShardError(f"{name}: a hash of a sample is not 64 hexadecimal digits; {REBUILD}")
    for column in ("offsets", "sizes", "crc32", "tasks"):
        values = document.get(column)
        if not isinstance(values, list) or not all(is_count(value) for value in values):
            raise ShardError(f"{name}: its column {column} holds more than whole numbers; {REBUILD}")
    if any(task >= len(tasks) for task in document["tasks"]):
        raise ShardError(f"{name}: a sample has a task that is not among its task names; {REBUILD}")


def is_sha256(value: object) -> bool:
    return isinstance(value, str) and SHA256.fullmatch(value) is not None


def is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_COUNT


def _counts(counts: object, names: frozenset[str] | None) -> bool:
    if not isinstance(counts, Mapping) or not all(is_count(count) for count in counts.values()):
        return False
    return all(LABEL.fullmatch(name) if names is None else name in names for name in counts)


def check_origin(row: Mapping[str, Any]) -> None:
    """What the gates read must be a word, or a yes or no: "no" in quotes would count as a yes."""
    for name in ("source", "revision", "licence"):
        if not isinstance(row.get(name), str | None):
            raise ShardError(f"metadata {name} is {str(row[name])[:80]!r}; it must be text")
    for name in ("commercial_ok", "evaluation_only"):
        if not isinstance(row.get(name), bool | None):
            raise ShardError(f"metadata {name} is {str(row[name])[:80]!r}; it must be true or false")
