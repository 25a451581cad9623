"""Media that are still inside tar and zip files: looked up by path and read in place, never extracted into a folder.

A member counts as lying where unpacking its archive would put it: beside the archive, or in a folder with the archive's
name. Links, devices, absolute names, names with `..` and oversized members are never read; asking for one says why.
"""

import gzip
import re
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from urt_core.errors import DataError
from urt_data.shards.tar import MAX_MEMBER_BYTES
from urt_data.sources.rows import FieldError

ARCHIVE_NAME = re.compile(r"(?P<stem>.+)\.(?:(?P<tar>tar|tar\.gz|tgz)|zip)", re.IGNORECASE)
MAX_EXPANSION = 100
"""A gzip file that grows more than this is no archive of compressed images."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """Where the bytes of one member are, or why they are not read.

    Entry(read=<callable>, refused="")        Entry(read=None, refused="is a link to '/etc/passwd'")
    """

    read: Callable[[], bytes] | None
    refused: str = ""


class Archives:
    """All archives under `root`, as one table of paths; opened when the first path is asked for."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._entries: dict[str, Entry] | None = None
        self._folders: dict[str, list[str]] = {}
        self._open: list[IO[bytes]] = []
        weakref.finalize(self, _close, self._open)

    def __contains__(self, path: str) -> bool:
        return path in self._table()

    def read(self, path: str, *, field: str) -> bytes:
        entry = self._table()[path]
        if entry.read is None:
            raise FieldError(field, f"archive member {path!r} {entry.refused}; it is never read")
        try:
            return entry.read()
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
            # RuntimeError is how zipfile reports an encrypted member, NotImplementedError an unknown compression.
            raise FieldError(field, f"archive member {path!r} is damaged or cannot be read ({error})") from error

    def listing(self, folder: str) -> list[str]:
        """The paths directly inside `folder`."""
        self._table()
        return self._folders.get(folder, [])

    def _table(self) -> dict[str, Entry]:
        if self._entries is None:
            self._entries = {}
            for path in sorted(self._root.rglob("*")):
                # Hidden files are shards in the making, where the output folder lies inside the input.
                match = ARCHIVE_NAME.fullmatch(path.name)
                if match and path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                    self._add(path.parent, match["stem"], self._tar(path) if match["tar"] else _zip_members(path))
        return self._entries

    def _tar(self, path: Path) -> Iterator[tuple[str, Entry]]:
        self._open.append(_plain(path))
        return _tar_members(path, self._open[-1])

    def _add(self, folder: Path, stem: str, members: Iterator[tuple[str, Entry]]) -> None:
        assert self._entries is not None
        beside = PurePosixPath(folder.relative_to(self._root).as_posix())
        for name, entry in members:
            for place in (beside / name, beside / stem / name):
                path = place.as_posix()
                if path in self._entries:
                    self._entries[path] = Entry(read=None, refused="is in two archives; unpack the right one")
                else:
                    self._entries[path] = entry
                    self._folders.setdefault(place.parent.as_posix(), []).append(path)


def _tar_members(path: Path, file: IO[bytes]) -> Iterator[tuple[str, Entry]]:
    try:
        # The walk reads headers only; contents are read later, by offset.
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                plain = member.isreg() and not member.issparse()
                refused = _refusal(member.name, member.size) if plain else "is a link, a device or sparse"
                yield (
                    member.name.removeprefix("./"),
                    Entry(read=None if refused else _tar_reader(file, member), refused=refused),
                )
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{path.name} is a damaged tar file ({error}); download it again, or unpack what is left of it"
        ) from error


def _tar_reader(file: IO[bytes], member: tarfile.TarInfo) -> Callable[[], bytes]:
    offset, size = member.offset_data, member.size

    def read() -> bytes:
        file.seek(offset)
        data = file.read(size)
        if len(data) != size:
            raise EOFError(f"has {len(data):,} of its {size:,} bytes")
        return data

    return read


def _plain(path: Path) -> IO[bytes]:
    """The tar file itself, or its uncompressed copy in the temporary folder: gzip has no random access."""
    if path.suffix.lower() == ".tar":
        return path.open("rb")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - `Archives` closes it
    try:
        _unpack(path, copy)
    except (OSError, EOFError, zlib.error) as error:
        copy.close()
        raise DataError(f"{path.name} is a damaged gzip file ({error}); download it again") from error
    except DataError:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _unpack(path: Path, copy: IO[bytes]) -> None:
    budget = MAX_EXPANSION * path.stat().st_size
    with gzip.open(path, "rb") as packed:
        while chunk := packed.read(2**20):
            budget -= len(chunk)
            if budget < 0:
                raise DataError(
                    f"{path.name} expands to more than {MAX_EXPANSION} times its size; it is no archive of images"
                )
            copy.write(chunk)


def _close(files: list[IO[bytes]]) -> None:
    for file in files:
        file.close()


def _zip_members(path: Path) -> Iterator[tuple[str, Entry]]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(
            f"{path.name} is a damaged zip file ({error}); download it again, or unpack what is left of it"
        ) from error
    for member in archive.infolist():
        if member.is_dir():
            continue
        refused = _refusal(member.filename, member.file_size)
        # The upper half of the attributes holds the Unix mode; 0o120000 is a link.
        if (member.external_attr >> 16) & 0o170000 == 0o120000:
            refused = "is a link"
        yield (
            member.filename.removeprefix("./"),
            Entry(read=None if refused else _zip_reader(archive, member), refused=refused),
        )


def _zip_reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    return lambda: archive.read(member)


def _refusal(name: str, size: int) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        return "has a name that leaves the archive"
    if size > MAX_MEMBER_BYTES:
        return f"has {size:,} bytes, allowed are {MAX_MEMBER_BYTES:,}"
    return ""
