"""The bytes of one sample in a tar file: packed canonically, and read back strictly.

    key.json | key.first.png | key.second.png       each member: 512 bytes of USTAR header, content, zeros up to a multiple of 512

The layout is webdataset's: a sample is a run of members that share everything before the first dot of their name.
Packing depends on nothing but names and contents (fixed owner, mode and time), so equal input gives equal bytes.
Reading trusts nothing: regular members of allowed suffixes only, never extracted to disk, never unpickled. Links,
devices, folders, paths, oversized members and extended headers (but for those that only tell times, as Python's tarfile
writes them) are a `ShardError` that names the member.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, NamedTuple

from urt_core.records import KEY_PATTERN
from urt_data.errors import ShardError

BLOCK = tarfile.BLOCKSIZE
END_OF_ARCHIVE = bytes(2 * BLOCK)
RECORD_SUFFIX = "json"
IMAGE_SUFFIXES = ("png", "jpg", "jpeg", "webp", "gif", "bmp")
VIDEO_SUFFIXES = ("mp4", "webm", "mov", "mkv", "avi", "m4v")
ALLOWED_SUFFIXES = frozenset((RECORD_SUFFIX, *IMAGE_SUFFIXES, *VIDEO_SUFFIXES))

# Far above any frame or clip of a preference pair, far below what would exhaust a worker's memory.
MAX_MEMBER_BYTES = 256 * 2**20
MAX_SAMPLE_BYTES = 4 * MAX_MEMBER_BYTES
MAX_SAMPLE_MEMBERS = 10_000
MEMBER_NAME = re.compile(rf"({KEY_PATTERN.pattern})\.((?:[a-z0-9-]+\.)*([a-z0-9-]+))")

# The fixed parts of a header, in order of their place: name, then these with the size and the checksum between them.
NAME_BYTES = 100
MODE_AND_OWNER = b"0000644\0" + b"0000000\0" * 2
TIME = b"\0" + b"00000000000\0"
TYPE_AND_REST = b"0" + bytes(100) + b"ustar\00000" + bytes(247)
OCTAL = re.compile(rb"[0-7]+")
EMPTY_CHECKSUM = sum(MODE_AND_OWNER + TIME + b" " * 8 + TYPE_AND_REST)

# An extended header may rename, resize or link the member behind it; one that only tells times is harmless.
TIMES_ONLY = re.compile(rb"(?:\d+ (?:mtime|atime|ctime)=[-0-9.]+\n)+")
MAX_EXTENSION_BYTES = 1024

Member = tuple[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedSample:
    """One sample as found by walking through a tar file.

    ScannedSample(key="pair-0", offset=0, size=5120, members={"json": b"{...}", "first.png": b"...", "second.png":
    b"..."})
    """

    key: str
    offset: int
    size: int
    members: dict[str, bytes]


def pack_sample(key: str, members: Iterable[Member]) -> Iterator[bytes]:
    """The chunks of one sample, in the order they are written."""
    for suffix, content in members:
        yield canonical_header(f"{key}.{suffix}".encode(), len(content))
        yield content
        yield bytes(-len(content) % BLOCK)


def split_sample(packed: bytes, *, key: str) -> dict[str, bytes]:
    """The members of one packed sample by suffix; anything but the regular members of `key` is a `ShardError`."""
    members: dict[str, bytes] = {}
    offset = 0
    while offset < len(packed):
        header = read_header(packed[offset : offset + BLOCK], position=offset)
        content = packed[offset + BLOCK : offset + BLOCK + header.size]
        if header.is_extension:
            check_extension(content)
        elif header.key != key:
            raise ShardError(
                f"member {header.name} stands inside sample {key}; rebuild the index with `urt-data index`"
            )
        else:
            _add_member(members, header, content)
        offset += BLOCK + padded(header.size)
    return members


def scan_tar(file: BinaryIO, *, file_size: int) -> Iterator[ScannedSample]:
    """Walk through a tar file of unknown origin, one sample at a time, and refuse everything a shard may not hold."""
    sample = ScannedSample(key="", offset=0, size=0, members={})
    finished: set[str] = set()
    offset = start = 0  # of this block; of this member with its extended header, if it has one
    while any(block := _read_block(file, offset)):
        header = read_header(block, position=offset)
        if offset + BLOCK + header.size > file_size:
            raise ShardError(f"member {header.name} claims {header.size:,} bytes, the file ends before: it was cut off")
        content = file.read(header.size)
        file.seek(padded(header.size) - header.size, 1)
        offset += BLOCK + padded(header.size)
        if header.is_extension:
            check_extension(content)
            continue
        if header.key != sample.key:
            if sample.key:
                yield sample
                finished.add(sample.key)
            if header.key in finished:
                raise ShardError(
                    f"the members of sample {header.key} are not side by side; webdataset would read two partial samples"
                )
            sample = ScannedSample(key=header.key, offset=start, size=0, members={})
        _add_member(sample.members, header, content)
        sample = replace(sample, size=offset - sample.offset)
        if sample.size > MAX_SAMPLE_BYTES:
            raise ShardError(f"sample {sample.key} is larger than {MAX_SAMPLE_BYTES:,} bytes")
        start = offset
    if sample.key:
        yield sample
    _refuse_trailing_bytes(file, offset)


def _read_block(file: BinaryIO, offset: int) -> bytes:
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise ShardError(
            f"the tar file ends at byte {offset + len(block):,} without its end-of-archive blocks: it was cut off"
        )
    return block


def _refuse_trailing_bytes(file: BinaryIO, offset: int) -> None:
    while chunk := file.read(2**20):
        if any(chunk):
            raise ShardError(
                f"bytes follow the end of the archive at {offset:,}; a reader that ignores zeros would see other samples"
            )


class Header(NamedTuple):
    """What a tar header says about its member.  Header(key="pair-0", suffix="first.png", size=4096)"""

    key: str
    suffix: str
    size: int

    @property
    def is_extension(self) -> bool:
        """An extended header for the member behind it, not a member itself."""
        return not self.key

    @property
    def name(self) -> str:
        return f"{self.key}.{self.suffix}"


def canonical_header(name: bytes, size: int) -> bytes:
    """The USTAR header that this module writes: mode 644, owner and time 0. Equal to Python's `TarInfo.tobuf`, at a
    tenth of the time."""
    if len(name) > NAME_BYTES:
        raise ShardError(
            f"member name {name.decode()!r} does not fit into a tar header of {NAME_BYTES} bytes; use a shorter key"
        )
    digits = b"%011o" % size
    checksum = b"%06o\0 " % (EMPTY_CHECKSUM + sum(name) + sum(digits))
    return b"".join((name.ljust(NAME_BYTES, b"\0"), MODE_AND_OWNER, digits, TIME, checksum, TYPE_AND_REST))


def read_header(block: bytes, *, position: int) -> Header:
    """The header in `block`; whatever is not a regular member with an allowed name is refused."""
    name, digits = block[: block.find(b"\0")], block[124:135]
    plain = OCTAL.fullmatch(digits) and name.isascii() and len(name) <= NAME_BYTES
    if plain and block == canonical_header(name, int(digits, 8)):
        return _named_header(name.decode(), int(digits, 8))
    return _foreign_header(block, position=position)


def _foreign_header(block: bytes, *, position: int) -> Header:
    """A header of another writer, read by the standard library."""
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise ShardError(f"no readable tar header at byte {position:,}: {error}") from error
    if info.type == tarfile.XHDTYPE and 0 <= info.size <= MAX_EXTENSION_BYTES:
        return Header("", "", info.size)
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise ShardError(
            f"member {info.name!r} has tar type {info.type!r}; only regular files are allowed (no links, devices, folders or long names). "
            "Write shards with ShardWriter or webdataset"
        )
    return _named_header(info.name, info.size)


def _named_header(name: str, size: int) -> Header:
    match = MEMBER_NAME.fullmatch(name)
    if match is None:
        raise ShardError(
            f"member name {name!r} is not <key>.<suffix> with a key of {KEY_PATTERN.pattern} and no folders; rename it"
        )
    if match[3] not in ALLOWED_SUFFIXES:
        raise ShardError(
            f"member {name!r} has a suffix that is never decoded; allowed: {', '.join(sorted(ALLOWED_SUFFIXES))}"
        )
    if not 0 <= size <= MAX_MEMBER_BYTES:
        raise ShardError(f"member {name!r} claims {size:,} bytes; allowed are 0 to {MAX_MEMBER_BYTES:,}")
    return Header(match[1], match[2], size)


def check_extension(content: bytes) -> None:
    """Refuse an extended header that says more than times."""
    if not TIMES_ONLY.fullmatch(content):
        raise ShardError(
            f"an extended tar header says {content[:80]!r}; only times are allowed there, it could rename or resize a member"
        )


def padded(size: int) -> int:
    """`size` rounded up to whole tar blocks."""
    return size + (-size % BLOCK)


def _add_member(members: dict[str, bytes], header: Header, content: bytes) -> None:
    if len(content) != header.size:
        raise ShardError(
            f"member {header.name} has {len(content):,} of its {header.size:,} bytes: the file was cut off"
        )
    if header.suffix in members:
        raise ShardError(f"member {header.name} appears twice in its sample")
    if len(members) >= MAX_SAMPLE_MEMBERS:
        raise ShardError(f"sample {header.key} has more than {MAX_SAMPLE_MEMBERS:,} members")
    members[header.suffix] = content
