"""A folder of shards as a sequence of records. Nothing is read before it is asked for, and nothing is returned
unproven."""

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from urt_core.records import PreferenceRecord
from urt_data.errors import AddressError, SampleError, ShardError
from urt_data.shards.index import INDEX_SUFFIX, MANIFEST_NAME, Excluded, Manifest, ShardEntry, ShardIndex, sha256
from urt_data.shards.sample import from_members
from urt_data.shards.storage import ShardCache, Storage, open_storage
from urt_data.shards.tar import split_sample


class Check(StrEnum):
    """What a sample's bytes are compared with when they are read."""

    CRC32 = "crc32"
    """Finds every flipped bit and every other damage but one in four billion, at the speed of reading."""
    SHA256 = "sha256"
    """Proves the bytes, also against someone who changed shard and index; two to three times slower on large images."""
    NONE = "none"
    """Trusts the disk. What a tar header or record says is checked all the same."""


MAX_INDEXES = 64
"""Indexes kept at a time; one of 1,000 samples takes about 150 KB."""


class ShardFolder(Sequence[PreferenceRecord]):
    """The records of a folder that `ShardWriter` finished, by position.

        records = ShardFolder("pairs")            # or "s3://bucket/pairs" with cache=ShardCache("/tmp/shards", max_bytes=20 * 2**30)
        len(records), records[0], records.manifest["metadata"]

    Manifest and indexes are always compared with their SHA-256, and each sample as `check` says before it is used.
    Instances may be sent to worker processes; each opens its own files.
    """

    def __init__(self, folder: str | Path, *, check: Check = Check.CRC32, cache: ShardCache | None = None) -> None:
        self.folder = str(folder)
        self._check = Check(check)
        self._storage: Storage = open_storage(folder, cache=cache)
        content = self._storage.read(MANIFEST_NAME)
        self._manifest = Manifest.from_bytes(content, name=f"{self.folder}/{MANIFEST_NAME}")
        self.manifest_sha256: str = sha256(content)
        repaired = self._manifest.repaired
        self.excluded: tuple[Excluded, ...] = repaired.excluded if repaired else ()
        """Samples that a repair left out, with their places of before."""
        self.order_sha256: str = repaired.manifest_sha256 if repaired else self.manifest_sha256
        """Names the order of training: `manifest_sha256` of the folder before it was repaired, if it was."""
        counts = np.array([shard.num_samples for shard in self._manifest.shards], dtype=np.int64)
        self.shard_starts: np.ndarray = np.concatenate([[0], np.cumsum(counts)])
        """Position of each shard's first sample; one more entry for the end."""
        self._indexes: OrderedDict[int, ShardIndex] = OrderedDict()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as plain data: shards, counts of tasks and labels, metadata."""
        return self._manifest.to_document()

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self._manifest.metadata)

    @property
    def shards(self) -> tuple[ShardEntry, ...]:
        """The `ShardEntry` of each shard, in order."""
        return self._manifest.shards

    @property
    def cache_bytes(self) -> int | None:
        """Bytes of shards at hand at a time, where they come from afar; None where all of them lie on this machine."""
        return self._storage.cache_bytes

    def __len__(self) -> int:
        return int(self.shard_starts[-1])

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[index] for index in range(*position.indices(len(self)))]
        index = position + len(self) if position < 0 else position
        if not 0 <= index < len(self):
            raise IndexError(f"position {position} of {len(self):,} records in {self.folder}")
        shard = int(np.searchsorted(self.shard_starts, index, side="right")) - 1
        return self.read(shard, index - int(self.shard_starts[shard]))

    def __iter__(self) -> Iterator[PreferenceRecord]:
        for shard, entry in enumerate(self._manifest.shards):
            for row in range(entry.num_samples):
                yield self.read(shard, row)

    def read(self, shard: int, row: int) -> PreferenceRecord:
        """The record in `row` of `shard`; a `SampleError` names it where it cannot be read."""
        with self._named(shard, row) as key:
            return from_members(self._members(shard, row), key=key)

    def read_members(self, shard: int, row: int) -> dict[str, bytes]:
        """The undecoded members of one sample by suffix, as `webdataset` would return them."""
        with self._named(shard, row):
            return self._members(shard, row)

    @contextmanager
    def _named(self, shard: int, row: int) -> Iterator[str]:
        key = self.index(shard).keys[row]
        try:
            yield key
        except AddressError:
            raise
        except ShardError as error:
            raise SampleError(shard=self._manifest.shards[shard].name, key=key, reason=str(error)) from error

    def index(self, shard: int) -> ShardIndex:
        """The side index of one shard, loaded when first needed."""
        index = self._indexes.get(shard)
        if index is None:
            index = self._indexes[shard] = self._load_index(shard)
            if len(self._indexes) > MAX_INDEXES:
                self._indexes.popitem(last=False)
        else:
            self._indexes.move_to_end(shard)
        return index

    def _members(self, shard: int, row: int) -> dict[str, bytes]:
        index = self.index(shard)
        key, size = index.keys[row], int(index.sizes[row])
        packed = self._storage.read_range(self._manifest.shards[shard], int(index.offsets[row]), size)
        if len(packed) != size:
            raise ShardError(f"only {len(packed):,} of {size:,} bytes are there; the shard was cut off")
        self._compare(packed, index, row)
        return split_sample(packed, key=key)

    def _compare(self, packed: bytes, index: ShardIndex, row: int) -> None:
        if self._check is Check.CRC32:
            matches = zlib.crc32(packed) == index.crc32[row]
        else:
            matches = self._check is Check.NONE or hashlib.sha256(packed).digest() == index.digests[row].tobytes()
        if not matches:
            raise ShardError(
                f"its bytes do not match their {self._check}; restore the shard, or drop the sample with `urt-data repair`"
            )

    def _load_index(self, shard: int) -> ShardIndex:
        entry = self._manifest.shards[shard]
        name = entry.name + INDEX_SUFFIX
        content = self._storage.read(name)
        if sha256(content) != entry.index_sha256:
            raise ShardError(f"{name} does not match the sha256 in the manifest; rebuild it with `urt-data index`")
        index = ShardIndex.from_bytes(content, name=name)
        if (index.shard, len(index.keys), index.num_bytes) != (entry.name, entry.num_samples, entry.num_bytes):
            raise ShardError(
                f"{name} describes another shard than the manifest's {entry.name}; rebuild it with `urt-data index`"
            )
        return index

    def close(self) -> None:
        """Close the open files; they open again when needed."""
        self._storage.close()

    def __getstate__(self) -> dict[str, Any]:
        # Indexes are loaded again where they are needed.
        return {**self.__dict__, "_indexes": OrderedDict()}
