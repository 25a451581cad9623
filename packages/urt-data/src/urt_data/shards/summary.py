"""What the index and the manifest will say about a shard, gathered while its samples go by."""

import hashlib
import zlib
from collections import Counter

import numpy as np

from urt_core.records import PreferenceRecord
from urt_data.errors import ShardError
from urt_data.shards.index import ShardEntry, ShardIndex, origin_of, provenance_rows, sha256

UNLABELLED = "unlabelled"
"""Stands where a record has no preference."""


class ShardSummary:
    """Add the samples of a shard in order, then what follows them; `finish` gives the index and the manifest's
    entry."""

    def __init__(self, shard: str) -> None:
        self._shard = shard
        self._digest = hashlib.sha256()
        self._offsets: list[int] = []
        self._sample_digests: list[bytes] = []
        self._crc32: list[int] = []
        self._tasks: list[str] = []
        self._preferences: Counter[str] = Counter()
        self._origins: Counter[str] = Counter()
        self.num_bytes: int = 0
        self.keys: dict[str, None] = {}

    def add(self, record: PreferenceRecord, packed: bytes) -> None:
        """`packed` are the bytes of the whole sample in the tar, headers and padding included."""
        if record.key in self.keys:
            raise ShardError(f"key {record.key!r} appears twice in {self._shard}; keys must be unique in a data set")
        self.keys[record.key] = None
        self._offsets.append(self.num_bytes)
        self._sample_digests.append(hashlib.sha256(packed).digest())
        self._crc32.append(zlib.crc32(packed))
        self._tasks.append(str(record.task))
        self._preferences[str(record.preference) if record.preference else UNLABELLED] += 1
        self._origins[origin_of(record.metadata)] += 1
        self._append(packed)

    def finish(self, trailer: bytes) -> tuple[bytes, ShardEntry]:
        """`trailer` is what follows the last sample: the end of the archive."""
        sizes = np.diff([*self._offsets, self.num_bytes])
        self._append(trailer)
        task_names = sorted(set(self._tasks))
        index = ShardIndex(
            shard=self._shard,
            num_bytes=self.num_bytes,
            sha256=self._digest.hexdigest(),
            keys=list(self.keys),
            offsets=np.array(self._offsets, dtype=np.int64),
            sizes=sizes,
            crc32=np.array(self._crc32, dtype=np.uint32),
            digests=np.frombuffer(b"".join(self._sample_digests), dtype=np.uint8).reshape(-1, 32),
            task_names=task_names,
            tasks=np.array([task_names.index(task) for task in self._tasks], dtype=np.uint8),
        ).to_bytes()
        entry = ShardEntry(
            name=self._shard,
            num_samples=len(self.keys),
            num_bytes=self.num_bytes,
            sha256=self._digest.hexdigest(),
            index_sha256=sha256(index),
            tasks=dict(sorted(Counter(self._tasks).items())),
            preferences=dict(sorted(self._preferences.items())),
            provenance=tuple(provenance_rows(self._origins)),
        )
        return index, entry

    def _append(self, content: bytes) -> None:
        self._digest.update(content)
        self.num_bytes += len(content)
