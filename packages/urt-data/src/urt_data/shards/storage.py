"""Where shards lie: a local folder, or any address fsspec knows behind a bounded local cache."""

import errno
import os
import stat
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from urt_data.errors import ShardError
from urt_data.shards.index import ShardEntry

MAX_OPEN_FILES = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardCache:
    """A local folder that keeps fetched shards up to a number of bytes. The processes of one machine may share it.

    ShardCache(folder="/tmp/shards", max_bytes=20 * 2**30)
    """

    folder: str
    max_bytes: int


class Storage(Protocol):
    """What a reader needs from the place where shards lie. Instances can be sent to worker processes."""

    @property
    def cache_bytes(self) -> int | None:
        """How many bytes of shards are at hand at a time; None where all of them are."""
        ...

    def read(self, name: str) -> bytes:
        """The whole of a small file: the manifest or an index."""
        ...

    def read_range(self, entry: ShardEntry, offset: int, size: int) -> bytes:
        """`size` bytes of a shard from `offset` on; fewer where the shard ends before."""
        ...

    def close(self) -> None:
        """Close what is open; it opens again when needed."""
        ...


def open_storage(folder: str | Path, *, cache: ShardCache | None = None) -> Storage:
    from urt_data.shards.addresses import is_address

    if not is_address(folder):
        return LocalStorage(Path(folder))
    from urt_data.shards.remote import RemoteStorage

    if cache is None:
        raise ShardError(f"{folder} is remote; pass cache=ShardCache(folder=..., max_bytes=...) to keep its shards in")
    return RemoteStorage(str(folder), cache=cache)


class LocalStorage:
    """Shards in a folder of this machine; the files read last stay open."""

    cache_bytes = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: OrderedDict[str, int] = OrderedDict()

    def read(self, name: str) -> bytes:
        path = self._folder / name
        try:
            return read_regular(path)
        except FileNotFoundError:
            raise ShardError(
                f"{path} does not exist: the folder holds no finished data set. Write it again, or `urt-data index {self._folder}` "
                "to make index and manifest for existing tar files"
            ) from None

    def read_range(self, entry: ShardEntry, offset: int, size: int) -> bytes:
        return read_at_most(self._descriptor(entry), offset, size)

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])

    def _descriptor(self, entry: ShardEntry) -> int:
        name = entry.name
        descriptor = self._open.get(name)
        if descriptor is None:
            try:
                descriptor = self._open[name] = open_regular(self._folder / name)
            except FileNotFoundError:
                raise ShardError(
                    f"{self._folder / name} is missing, the manifest lists it; restore it or run `urt-data repair`"
                ) from None
            if len(self._open) > MAX_OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
        else:
            self._open.move_to_end(name)
        return descriptor

    def __getstate__(self) -> dict[str, Any]:
        return {"_folder": self._folder, "_open": OrderedDict()}

    def __del__(self) -> None:
        if hasattr(self, "_open"):
            self.close()


def open_regular(path: Path) -> int:
    """A descriptor on a regular file that is no link. Devices and pipes are refused, and opening them does not wait for a writer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise ShardError(f"{path} is a link, which may lead anywhere; put the file itself there (cp -L)") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ShardError(f"{path} is not a regular file; devices, pipes and folders are not read as shards")
    return descriptor


def read_regular(path: Path) -> bytes:
    """The whole of a regular file."""
    with open(open_regular(path), "rb") as file:
        return file.read()


def read_at_most(descriptor: int, offset: int, size: int) -> bytes:
    """What is there of `size` bytes: an index that claims more than the file holds gets no memory for it."""
    left = os.fstat(descriptor).st_size - offset
    return os.pread(descriptor, min(size, left), offset) if left > 0 else b""
