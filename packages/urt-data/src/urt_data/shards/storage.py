"""Where shards lie: a local folder, or any address fsspec knows behind a bounded local cache."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from urt_data.errors import ShardError
from urt_data.shards.index import ShardEntry


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardCache:
    """A local folder that keeps fetched shards up to a number of bytes. Processes of one machine may share it.

    ShardCache(folder="/tmp/shards", max_bytes=20 * 2**30)
    """

    folder: str
    max_bytes: int


class Storage(Protocol):
    """What a reader needs from the place where shards lie."""

    @property
    def is_remote(self) -> bool: ...

    def read(self, name: str) -> bytes:
        """The whole of a small file: the manifest or an index."""
        ...

    def open(self, entry: ShardEntry) -> int:
        """A file descriptor on a shard; the caller closes it."""
        ...


def open_storage(folder: str | Path, *, cache: ShardCache | None = None) -> Storage:
    if "://" not in str(folder):
        return LocalStorage(Path(folder))
    from urt_data.shards.remote import RemoteStorage

    if cache is None:
        raise ShardError(f"{folder} is remote; pass cache=ShardCache(folder=..., max_bytes=...) to keep its shards in")
    return RemoteStorage(str(folder), cache=cache)


class LocalStorage:
    """Shards in a folder of this machine."""

    is_remote = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> bytes:
        path = self._folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            raise ShardError(
                f"{path} does not exist: the folder holds no finished data set. Write it again, or `urt-data index {self._folder}` "
                "to make index and manifest for existing tar files"
            ) from None

    def open(self, entry: ShardEntry) -> int:
        path = self._folder / entry.name
        try:
            return open_regular(path)
        except FileNotFoundError:
            raise ShardError(f"{path} is missing, the manifest lists it; restore it or run `urt-data repair`") from None


def open_regular(path: Path) -> int:
    """A descriptor on a regular file. Devices and pipes are refused, and opening them does not wait for a writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ShardError(f"{path} is not a regular file; devices, pipes and folders are not read as shards")
    return descriptor
