"""A folder of shards as a sequence of records. Nothing is read before it is asked for, and nothing is returned unproven."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from urt_core.records import PreferenceRecord
from urt_data.errors import SampleError, ShardError
from urt_data.shards.index import INDEX_SUFFIX, MANIFEST_NAME, Manifest, ShardIndex, sha256
from urt_data.shards.sample import from_members
from urt_data.shards.storage import ShardCache, Storage, open_storage
from urt_data.shards.tar import split_sample

MAX_OPEN_SHARDS = 64
"""Indexes and file handles kept at a time; an index of 1,000 samples takes about 150 KB."""


class ShardFolder(Sequence[PreferenceRecord]):
    """The records of a folder that `ShardWriter` finished, by position.

        records = ShardFolder("pairs")            # or "s3://bucket/pairs" with cache=ShardCache("/tmp/shards", max_bytes=20 * 2**30)
        len(records), records[0], records.manifest["metadata"]

    With `verify` (the default) each index and each sample is compared with its SHA-256 before it is used. Instances may be sent to
    worker processes; each opens its own files.
    """

    def __init__(self, folder: str | Path, *, verify: bool = True, cache: ShardCache | None = None) -> None:
        self.folder = str(folder)
        self._verify = verify
        self._storage: Storage = open_storage(folder, cache=cache)
        content = self._storage.read(MANIFEST_NAME)
        self._manifest = Manifest.from_bytes(content, name=f"{self.folder}/{MANIFEST_NAME}")
        self.manifest_sha256: str = sha256(content)
        counts = np.array([shard.num_samples for shard in self._manifest.shards], dtype=np.int64)
        self.shard_starts: np.ndarray = np.concatenate([[0], np.cumsum(counts)])
        """Position of each shard's first sample; one more entry for the end."""
        self._open_shards: OrderedDict[int, OpenedShard] = OrderedDict()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as plain data: shards, counts of tasks and labels, metadata."""
        return self._manifest.to_document()

    @property
    def metadata(self) -> dict[str, Any]:
        return dict(self._manifest.metadata)

    @property
    def shards(self) -> tuple:
        """The `ShardEntry` of each shard, in order."""
        return self._manifest.shards

    @property
    def is_remote(self) -> bool:
        return self._storage.is_remote

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
        key = self.index(shard).keys[row]
        try:
            return from_members(self._members(shard, row), key=key)
        except SampleError:
            raise
        except ShardError as error:
            raise SampleError(shard=self._manifest.shards[shard].name, key=key, reason=str(error)) from error

    def read_members(self, shard: int, row: int) -> dict[str, bytes]:
        """The undecoded members of one sample by suffix, as `webdataset` would return them."""
        try:
            return self._members(shard, row)
        except SampleError:
            raise
        except ShardError as error:
            entry = self._manifest.shards[shard]
            raise SampleError(shard=entry.name, key=self.index(shard).keys[row], reason=str(error)) from error

    def index(self, shard: int) -> ShardIndex:
        """The side index of one shard, loaded when first needed."""
        return self._opened(shard).index

    def _members(self, shard: int, row: int) -> dict[str, bytes]:
        opened = self._opened(shard)
        index = opened.index
        key, size = index.keys[row], int(index.sizes[row])
        packed = os.pread(opened.handle(self._storage, self._manifest.shards[shard]), size, int(index.offsets[row]))
        if len(packed) != size:
            raise ShardError(f"only {len(packed):,} of {size:,} bytes are there; the shard was cut off")
        if self._verify and hashlib.sha256(packed).digest() != index.digests[row].tobytes():
            raise ShardError(
                "its bytes do not match their sha256; restore the shard, or drop the sample with `urt-data repair`"
            )
        return split_sample(packed, key=key)

    def _opened(self, shard: int) -> "OpenedShard":
        opened = self._open_shards.get(shard)
        if opened is None:
            opened = self._open_shards[shard] = OpenedShard(self._load_index(shard))
            if len(self._open_shards) > MAX_OPEN_SHARDS:
                self._open_shards.popitem(last=False)[1].close()
        else:
            self._open_shards.move_to_end(shard)
        return opened

    def _load_index(self, shard: int) -> ShardIndex:
        entry = self._manifest.shards[shard]
        name = entry.name + INDEX_SUFFIX
        content = self._storage.read(name)
        if self._verify and sha256(content) != entry.index_sha256:
            raise ShardError(f"{name} does not match the sha256 in the manifest; rebuild it with `urt-data index`")
        index = ShardIndex.from_bytes(content, name=name)
        if (index.shard, len(index.keys), index.num_bytes) != (entry.name, entry.num_samples, entry.num_bytes):
            raise ShardError(
                f"{name} describes another shard than the manifest's {entry.name}; rebuild it with `urt-data index`"
            )
        return index

    def close(self) -> None:
        """Close the open files; they open again when needed."""
        while self._open_shards:
            self._open_shards.popitem()[1].close()

    def __del__(self) -> None:
        if hasattr(self, "_open_shards"):
            self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open_shards": OrderedDict()}


class OpenedShard:
    """The index of a shard and, once something is read, a file descriptor on its tar."""

    def __init__(self, index: ShardIndex) -> None:
        self.index = index
        self._descriptor: int | None = None

    def handle(self, storage: Storage, entry: Any) -> int:
        if self._descriptor is None:
            self._descriptor = storage.open(entry)
        return self._descriptor

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
