"""Media that are still inside tar and zip files: looked up by path and read in place, never extracted into a folder.

A member counts as lying where unpacking its archive would put it: beside the archive, or in a folder with the archive's
name. Links, devices, absolute names, names with `..` and oversized members are never read; asking for one says why.
"""

import weakref
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from urt_core.errors import DataError
from urt_data.shards.tar import MAX_MEMBER_BYTES
from urt_data.sources.reading.packed import Packed, decoding, find_packed
from urt_data.sources.reading.tar_members import DamagedTarError, TarMember, walk
from urt_data.sources.rows import FieldError


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
            with decoding(f"archive member {path!r}", "member"):
                return entry.read()
        except DataError as error:
            reason = error.__cause__ or error
            raise FieldError(field, f"archive member {path!r} is damaged or cannot be read ({reason})") from error

    def listing(self, folder: str) -> list[str]:
        """The paths directly inside `folder`."""
        self._table()
        return self._folders.get(folder, [])

    def _table(self) -> dict[str, Entry]:
        if self._entries is None:
            self._entries = {}
            for packed in find_packed(self._root):
                self._open.append(packed.open())
                self._add(packed, _members(packed, self._open[-1]))
        return self._entries

    def _add(self, packed: Packed, members: Iterator[tuple[str, Entry]]) -> None:
        assert self._entries is not None
        beside = PurePosixPath(packed.paths[0].parent.relative_to(self._root).as_posix())
        for name, entry in members:
            for place in (beside / name, beside / packed.stem / name):
                path = place.as_posix()
                if path in self._entries:
                    self._entries[path] = Entry(read=None, refused="is in two archives; unpack the right one")
                else:
                    self._entries[path] = entry
                    self._folders.setdefault(place.parent.as_posix(), []).append(path)


def _members(packed: Packed, file: IO[bytes]) -> Iterator[tuple[str, Entry]]:
    if packed.is_zip:
        yield from _zip_members(packed, file)
        return
    try:
        for member in walk(file):
            refused = member.refused or _refusal(member.name, member.size)
            read = None if refused else _tar_reader(file, member)
            yield member.name.removeprefix("./"), Entry(read=read, refused=refused)
    except DamagedTarError as error:
        raise DataError(
            f"{packed.name} is a damaged tar file ({error}); download it again, or unpack what is left of it"
        ) from error


def _tar_reader(file: IO[bytes], member: TarMember) -> Callable[[], bytes]:
    def read() -> bytes:
        file.seek(member.offset)
        data = file.read(member.size)
        if len(data) != member.size:
            raise EOFError(f"has {len(data):,} of its {member.size:,} bytes")
        return data

    return read


def _close(files: list[IO[bytes]]) -> None:
    for file in files:
        file.close()


def _zip_members(packed: Packed, file: IO[bytes]) -> Iterator[tuple[str, Entry]]:
    with decoding(packed.name, "zip file"):
        archive = zipfile.ZipFile(file)
        # A member may have no name at all, which `ZipInfo.is_dir` does not expect.
        members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    for member in members:
        refused = _refusal(member.filename, member.file_size)
        # The upper half of the attributes holds the Unix mode; 0o120000 is a link.
        if (member.external_attr >> 16) & 0o170000 == 0o120000:
            refused = "is a link"
        yield (
            member.filename.removeprefix("./"),
            Entry(read=None if refused else _zip_reader(archive, member), refused=refused),
        )


def _zip_reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        # No more than it claims, whatever its compressed bytes expand to.
        with archive.open(member) as content:
            return content.read(member.file_size)

    return read


def _refusal(name: str, size: int) -> str:
    path = PurePosixPath(name)
    if not path.parts:
        return "has no name"
    if path.is_absolute() or ".." in path.parts or "\\" in name:
        return "has a name that leaves the archive"
    if size > MAX_MEMBER_BYTES:
        return f"has {size:,} bytes, allowed are {MAX_MEMBER_BYTES:,}"
    return ""
