"""What is known about a shard without opening it: the side index of one shard, and the manifest of a folder of shards.

    shard-000000.tar            plain tar
    shard-000000.tar.idx.json   ShardIndex: where each sample lies and its SHA-256
    manifest.json               Manifest: every shard with the SHA-256 of its tar and of its index, written last

Trust runs downwards: the manifest proves the indexes, an index proves its samples. The manifest's own SHA-256 names the
data set.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from urt_data.errors import ShardError
from urt_data.shards.claims import REBUILD, check_index, check_manifest, check_origin

INDEX_SCHEMA = "urt-shard-index/1"
MANIFEST_SCHEMA = "urt-shards/1"
MANIFEST_NAME = "manifest.json"
INDEX_SUFFIX = ".idx.json"
PROVENANCE_FIELDS = ("source", "revision", "licence", "commercial_ok", "evaluation_only")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ShardIndex:
    """Columns over the samples of one shard; arrays, so that ten thousand samples cost a megabyte and no objects.

    ShardIndex(shard="shard-000000.tar", num_bytes=11264, sha256="9f…", keys=["pair-0", "pair-1"], offsets=array([0,
    5120]),
               sizes=array([5120, 5120]), crc32=array([…]), digests=array(shape [2, 32], uint8), task_names=["image_generation"],
               tasks=array([0, 0]))
    """

    shard: str
    num_bytes: int
    sha256: str
    keys: list[str]
    offsets: np.ndarray
    sizes: np.ndarray
    crc32: np.ndarray
    """CRC-32 of each sample's bytes in the tar, headers and padding included: finds damage at the speed of reading."""
    digests: np.ndarray
    """SHA-256 of the same bytes: proves them."""
    task_names: list[str]
    tasks: np.ndarray
    """Per sample the position of its task in `task_names`."""

    def to_bytes(self) -> bytes:
        return _canonical_json(
            {
                "schema": INDEX_SCHEMA,
                "shard": self.shard,
                "num_bytes": self.num_bytes,
                "sha256": self.sha256,
                "keys": self.keys,
                "offsets": self.offsets.tolist(),
                "sizes": self.sizes.tolist(),
                "crc32": self.crc32.tolist(),
                "sample_sha256": [digest.tobytes().hex() for digest in self.digests],
                "task_names": self.task_names,
                "tasks": self.tasks.tolist(),
            }
        )

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> Self:
        document = _read_json(content, name=name, schema=INDEX_SCHEMA)
        check_index(document, name=name)
        try:
            keys = document["keys"]
            digests = np.frombuffer(bytes.fromhex("".join(document["sample_sha256"])), dtype=np.uint8).reshape(-1, 32)
            index = cls(
                shard=document["shard"],
                num_bytes=document["num_bytes"],
                sha256=document["sha256"],
                keys=keys,
                offsets=np.array(document["offsets"], dtype=np.int64),
                sizes=np.array(document["sizes"], dtype=np.int64),
                crc32=np.array(document["crc32"], dtype=np.uint32),
                digests=digests,
                task_names=document["task_names"],
                tasks=np.array(document["tasks"], dtype=np.uint8),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ShardError(f"{name} is not a shard index ({error!r}); rebuild it with `urt-data index`") from error
        index._check(name)
        return index

    def _check(self, name: str) -> None:
        columns = (self.offsets, self.sizes, self.crc32, self.digests, self.tasks)
        if any(len(column) != len(self.keys) for column in columns) or len(set(self.keys)) != len(self.keys):
            raise ShardError(f"{name}: its columns differ in length or a key repeats; rebuild it with `urt-data index`")
        ends = self.offsets + self.sizes
        if len(self.keys) and (
            self.offsets[0] != 0
            or (self.sizes <= 0).any()
            or (ends[:-1] != self.offsets[1:]).any()
            or ends[-1] > self.num_bytes
        ):
            raise ShardError(f"{name}: its samples do not lie side by side; rebuild it with `urt-data index`")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardEntry:
    """One shard as the manifest lists it.

    ShardEntry(name="shard-000000.tar", num_samples=1000, num_bytes=20_481_024, sha256="9f…", index_sha256="41…",
               tasks={"image_generation": 1000}, preferences={"first": 480, "second": 490, "tie": 30},
               provenance=({"source": "hpdv3", "revision": "unpinned", "licence": "MIT", "commercial_ok": True, "evaluation_only": False,
                            "num_samples": 1000},))
    """

    name: str
    num_samples: int
    num_bytes: int
    sha256: str
    index_sha256: str
    tasks: Mapping[str, int]
    preferences: Mapping[str, int]
    """Counts of labels; `unlabelled` where there is none."""
    provenance: Sequence[Mapping[str, Any]]
    """What the records' metadata say about their origin, with `num_samples`; None where they say nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Excluded:
    """A sample that was left out when its folder was repaired, at its place of before.

    Excluded(shard=3, row=17, key="pair-3017", task="image_generation", label="first")
    """

    shard: int
    row: int
    key: str
    task: str
    label: str | None
    """`unlabelled` where it had none; None where it could not be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repaired:
    """What a repaired folder is the rest of: Repaired(manifest_sha256="9f…", excluded=(Excluded(shard=3, row=17, …),))

    Shard for shard it holds what the damaged folder held, in the same order, without these samples.
    """

    manifest_sha256: str
    """Of the folder as it was first written."""
    excluded: tuple[Excluded, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Every shard of a folder, and what the data set says about itself (source, revision, licence, commercial_ok, …).

    Manifest(shards=(ShardEntry(name="shard-000000.tar", …),), metadata={"source": "sprites", "licence": "Apache-2.0"})
    """

    shards: tuple[ShardEntry, ...]
    metadata: Mapping[str, Any]
    repaired: Repaired | None = None

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": MANIFEST_SCHEMA,
            "num_samples": sum(shard.num_samples for shard in self.shards),
            "num_bytes": sum(shard.num_bytes for shard in self.shards),
            "tasks": add_counts(shard.tasks for shard in self.shards),
            "preferences": add_counts(shard.preferences for shard in self.shards),
            "provenance": add_provenance(row for shard in self.shards for row in shard.provenance),
            "metadata": dict(self.metadata),
            "shards": [asdict(shard) for shard in self.shards],
            **({} if self.repaired is None else {"repaired": asdict(self.repaired)}),
        }

    def to_bytes(self) -> bytes:
        """The document and the SHA-256 of the rest of it, which finds a damaged manifest."""
        document = self.to_document()
        return _canonical_json({**document, "sha256": sha256(_canonical_json(document))})

    @classmethod
    def from_bytes(cls, content: bytes, *, name: str) -> Self:
        document = _read_json(content, name=name, schema=MANIFEST_SCHEMA)
        stated = document.pop("sha256", None)
        try:
            matches = stated == sha256(_canonical_json(document)) and content == _canonical_json(
                {**document, "sha256": stated}
            )
        except (ValueError, RecursionError) as error:  # NaN, half a surrogate pair, nesting: nothing that we write
            raise ShardError(f"{name} holds JSON that cannot be written again ({error}); {REBUILD}") from error
        if not matches:
            raise ShardError(f"{name} does not match its own sha256: it was changed or damaged; {REBUILD}")
        check_manifest(document, name=name)
        try:
            shards = tuple(ShardEntry(**entry) for entry in document["shards"])
        except TypeError as error:
            raise ShardError(f"{name} is not a manifest of shards ({error}); {REBUILD}") from error
        repaired = document.get("repaired")
        if repaired is not None:
            excluded = tuple(Excluded(**sample) for sample in repaired["excluded"])
            repaired = Repaired(manifest_sha256=repaired["manifest_sha256"], excluded=excluded)
        return cls(shards=shards, metadata=document["metadata"], repaired=repaired)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def origin_of(metadata: Mapping[str, Any]) -> str:
    """What one record says about its origin, in one spelling; a `ShardError` where it is no word, or no yes or no."""
    origin = {name: metadata.get(name) for name in PROVENANCE_FIELDS}
    check_origin(origin)
    return json.dumps(origin, sort_keys=True)


def provenance_rows(origins: Mapping[str, int]) -> list[dict[str, Any]]:
    """One row per origin with the number of its samples, in a fixed order."""
    return [{**json.loads(origin), "num_samples": count} for origin, count in sorted(origins.items())]


def add_provenance(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of several shards or folders summed up by origin."""
    totals: Counter[str] = Counter()
    for row in rows:
        totals[origin_of(row)] += row["num_samples"]
    return provenance_rows(totals)


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """The sum of several mappings of counts, sorted by name."""
    total: dict[str, int] = {}
    for mapping in counts:
        for name, count in mapping.items():
            total[name] = total.get(name, 0) + count
    return dict(sorted(total.items()))


def _canonical_json(document: Mapping[str, Any]) -> bytes:
    """One spelling per document, so that its hash is a fact about the content."""
    return (
        json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"
    ).encode()


def _read_json(content: bytes, *, name: str, schema: str) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{name} is not JSON ({error}); it is damaged, rebuild it with `urt-data index`") from error
    if not isinstance(document, dict) or document.get("schema") != schema:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise ShardError(
            f"{name} has schema {found!r}, this version reads {schema!r}; rebuild it with `urt-data index`"
        )
    return document
