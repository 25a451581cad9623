"""Shards at an address that fsspec knows, fetched whole into a local cache that never grows past its bound.

The cache is addressed by content: a shard lies there as `<sha256>.tar`. So several data sets and processes can share a cache, a changed
shard is never mistaken for an old one, and what does not have its hash never gets its name. The shards used longest ago make room.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from urt_data.errors import AddressError, ShardError
from urt_data.shards.addresses import connect, reaching
from urt_data.shards.index import ShardEntry
from urt_data.shards.storage import ShardCache, open_regular, read_at_most

CHUNK_BYTES = 2**22
WAIT_SECONDS = 0.05
BLOCK_BYTES = 512
"""Unit of `st_blocks` (stat(2))."""


class RemoteStorage:
    """Shards behind a `ShardCache`. Options of the file system (keys, endpoints) come from fsspec's own configuration."""

    def __init__(self, address: str, *, cache: ShardCache) -> None:
        self._address = address.rstrip("/")
        self._cache = cache
        self._folder = Path(cache.folder)
        with _writing(self._folder, self._address):
            self._folder.mkdir(parents=True, exist_ok=True)
            with locked(self._folder / "cache.lock"):
                pass
        self._filesystem, self._root = connect(self._address)

    @property
    def cache_bytes(self) -> int | None:
        """The bound of the cache, or less where its disk has no room for that."""
        files = _status([*self._folder.glob("*.tar"), *self._folder.glob("*.partial")])
        # A partial file has its full size before it has its blocks.
        on_disk = sum(status.st_blocks * BLOCK_BYTES for _, status in files)
        return min(self._cache.max_bytes, on_disk + shutil.disk_usage(self._folder).free)

    def read(self, name: str) -> bytes:
        address = f"{self._address}/{name}"
        try:
            with reaching(address):
                return self._filesystem.cat_file(f"{self._root}/{name}")
        except ShardError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise ShardError(
                    f"{address} does not exist: the folder holds no finished data set; upload it again"
                ) from None
            raise

    def read_range(self, entry: ShardEntry, offset: int, size: int) -> bytes:
        # Opened for each sample: a descriptor that stays open would keep the bytes of an evicted shard on the disk.
        descriptor = self._opened(entry)
        try:
            return read_at_most(descriptor, offset, size)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Nothing stays open."""

    def _opened(self, entry: ShardEntry) -> int:
        path = self._folder / f"{entry.sha256}.tar"
        while True:
            try:
                descriptor = open_regular(path)
                os.utime(descriptor)
                return descriptor
            except FileNotFoundError:
                # Another process may evict the shard before this one opens it; then it is fetched once more.
                self._fetch(entry, path)

    def _fetch(self, entry: ShardEntry, path: Path) -> None:
        with locked(path.with_suffix(".lock")):
            if path.exists():
                return
            partial = path.with_suffix(".partial")
            self._reserve(entry, partial)
            try:
                self._download(entry, partial)
                os.replace(partial, path)
            finally:
                partial.unlink(missing_ok=True)

    def _download(self, entry: ShardEntry, partial: Path) -> None:
        digest = hashlib.sha256()
        left = entry.num_bytes
        address = f"{self._address}/{entry.name}"
        try:
            with (
                reaching(address),
                self._filesystem.open(f"{self._root}/{entry.name}", "rb") as source,
                partial.open("r+b") as target,
            ):
                while chunk := source.read(CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise ShardError(
                            f"{address} is larger than the {entry.num_bytes:,} bytes in the manifest; upload it again"
                        )
                    digest.update(chunk)
                    target.write(chunk)
        except ShardError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise ShardError(f"{address} is missing, the manifest lists it; upload it again") from None
            raise
        if digest.hexdigest() != entry.sha256:
            raise ShardError(
                f"{address} does not match the sha256 in the manifest; upload it again, or verify it where it was made"
            )

    def _reserve(self, entry: ShardEntry, partial: Path) -> None:
        """Make room by removing the shards used longest ago; the empty file of full size keeps it for this download."""
        if entry.num_bytes > self._cache.max_bytes:
            raise ShardError(
                f"{entry.name} has {entry.num_bytes:,} bytes, the cache holds {self._cache.max_bytes:,}; raise ShardCache.max_bytes (data.cache.gib)"
            )
        while True:
            with locked(self._folder / "cache.lock"), _writing(self._folder, f"{self._address}/{entry.name}"):
                if self._make_room(entry.num_bytes):
                    with partial.open("wb") as file:
                        file.truncate(entry.num_bytes)
                    return
                if not any(self._folder.glob("*.partial")):
                    raise AddressError(
                        f"{self._address}/{entry.name} has {entry.num_bytes:,} bytes, and the disk of the cache folder {self._folder} has room"
                        f" for {self.cache_bytes:,}; make room there, or name a folder on another disk (ShardCache.folder, data.cache.folder)"
                    )
            # Other processes are downloading into the rest of the cache; their shards can make room once they are there.
            time.sleep(WAIT_SECONDS)

    def _make_room(self, num_bytes: int) -> bool:
        for partial in self._folder.glob("*.partial"):
            if is_abandoned(partial):
                partial.unlink(missing_ok=True)
        kept = sorted(_status(self._folder.glob("*.tar")), key=lambda status: status[1].st_mtime_ns)
        used = sum(status.st_size for _, status in [*kept, *_status(self._folder.glob("*.partial"))])
        bound = self.cache_bytes or 0
        for path, status in kept:
            if used + num_bytes <= bound:
                break
            path.unlink(missing_ok=True)
            used -= status.st_size
        return used + num_bytes <= bound

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self._address, "cache": self._cache}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Connections do not survive a process; the worker makes its own.
        self.__init__(state["address"], cache=state["cache"])


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the advisory lock of `path`; it is released even if the process is killed."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_abandoned(partial: Path) -> bool:
    """Whether the process that was downloading `partial` is gone: then nobody holds the lock of its shard."""
    with partial.with_suffix(".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def _writing(folder: Path, address: str) -> Iterator[None]:
    """What the disk of the cache says, as one line."""
    try:
        yield
    except OSError as error:
        raise AddressError(
            f"the cache folder {folder}, which is to keep the shards of {address}, cannot be written ({error.strerror or error}); make room"
            " there, or name another folder (ShardCache.folder, data.cache.folder)"
        ) from error


def _status(paths: Iterable[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    for path in paths:
        try:
            yield path, path.stat()
        except FileNotFoundError:
            continue  # finished or removed by another process in this moment
