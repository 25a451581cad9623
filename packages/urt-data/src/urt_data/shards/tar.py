"""The bytes of one sample in a tar file: packed canonically, and read back strictly.

    key.json | key.first.png | key.second.png       each member: 512 bytes of USTAR header, content, zeros up to a multiple of 512

The layout is webdataset's: a sample is a run of members that share everything before the first dot of their name. Packing depends
on nothing but names and contents (fixed owner, mode and time), so equal input gives equal bytes. Reading trusts nothing: regular
members of allowed suffixes only, never extracted to disk, never unpickled. Links, devices, folders, extended headers, paths and
oversized members are a `ShardError` that names the member.
"""

import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

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
MEMBER_NAME = re.compile(rf"({KEY_PATTERN.pattern})\.([a-z0-9-]+(?:\.[a-z0-9-]+)*)")

Member = tuple[str, bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedSample:
    """One sample as found by walking through a tar file.

    ScannedSample(key="pair-0", offset=0, size=5120, members={"json": b"{...}", "first.png": b"...", "second.png": b"..."})
    """

    key: str
    offset: int
    size: int
    members: dict[str, bytes]


def pack_sample(key: str, members: Iterable[Member]) -> Iterator[bytes]:
    """The chunks of one sample, in the order they are written."""
    for suffix, content in members:
        yield _header(f"{key}.{suffix}", len(content))
        yield content
        yield bytes(-len(content) % BLOCK)


def split_sample(packed: bytes, *, key: str) -> dict[str, bytes]:
    """The members of one packed sample by suffix; anything but the regular members of `key` is a `ShardError`."""
    members: dict[str, bytes] = {}
    offset = 0
    while offset < len(packed):
        member_key, suffix, size = read_header(packed[offset : offset + BLOCK], position=offset)
        if member_key != key:
            raise ShardError(
                f"member {member_key}.{suffix} stands inside sample {key}; rebuild the index with `urt-data index`"
            )
        _add_member(members, key, suffix, packed[offset + BLOCK : offset + BLOCK + size], size)
        offset += BLOCK + size + (-size % BLOCK)
    return members


def scan_tar(file: BinaryIO, *, file_size: int) -> Iterator[ScannedSample]:
    """Walk through a tar file of unknown origin, one sample at a time, and refuse everything a shard may not hold."""
    key, start, members = "", 0, {}
    finished: set[str] = set()
    offset = 0
    while True:
        block = file.read(BLOCK)
        if len(block) < BLOCK:
            raise ShardError(
                f"the tar file ends at byte {offset + len(block):,} without its end-of-archive blocks: it was cut off"
            )
        if not any(block):
            break
        member_key, suffix, size = read_header(block, position=offset)
        if offset + BLOCK + size > file_size:
            raise ShardError(
                f"member {member_key}.{suffix} claims {size:,} bytes, the file ends before: it was cut off"
            )
        if member_key != key:
            if key:
                yield ScannedSample(key=key, offset=start, size=offset - start, members=members)
                finished.add(key)
            if member_key in finished:
                raise ShardError(
                    f"the members of sample {member_key} are not side by side; webdataset would read two partial samples"
                )
            key, start, members = member_key, offset, {}
        if offset + BLOCK + size - start > MAX_SAMPLE_BYTES:
            raise ShardError(f"sample {key} is larger than {MAX_SAMPLE_BYTES:,} bytes")
        _add_member(members, key, suffix, file.read(size), size)
        file.seek(-size % BLOCK, 1)
        offset += BLOCK + size + (-size % BLOCK)
    if key:
        yield ScannedSample(key=key, offset=start, size=offset - start, members=members)
    _refuse_trailing_bytes(file, offset)


def _refuse_trailing_bytes(file: BinaryIO, offset: int) -> None:
    while chunk := file.read(2**20):
        if any(chunk):
            raise ShardError(
                f"bytes follow the end of the archive at {offset:,}; a reader that ignores zeros would see other samples"
            )


def read_header(block: bytes, *, position: int) -> tuple[str, str, int]:
    """Key, suffix and size of the member whose header is `block`."""
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise ShardError(f"no readable tar header at byte {position:,}: {error}") from error
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        raise ShardError(
            f"member {info.name!r} has tar type {info.type!r}; only regular files are allowed (no links, devices, folders or extended "
            "headers). Write shards with ShardWriter or webdataset"
        )
    match = MEMBER_NAME.fullmatch(info.name)
    if match is None:
        raise ShardError(
            f"member name {info.name!r} is not <key>.<suffix> with a key of {KEY_PATTERN.pattern} and no folders; rename it"
        )
    key, suffix = match[1], match[2]
    if suffix.rpartition(".")[2] not in ALLOWED_SUFFIXES:
        raise ShardError(
            f"member {info.name!r} has a suffix that is never decoded; allowed: {', '.join(sorted(ALLOWED_SUFFIXES))}"
        )
    if not 0 <= info.size <= MAX_MEMBER_BYTES:
        raise ShardError(f"member {info.name!r} claims {info.size:,} bytes; allowed are 0 to {MAX_MEMBER_BYTES:,}")
    return key, suffix, info.size


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    try:
        return info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    except ValueError as error:
        raise ShardError(f"member name {name!r} does not fit into a tar header ({error}); use a shorter key") from error


def _add_member(members: dict[str, bytes], key: str, suffix: str, content: bytes, size: int) -> None:
    if len(content) != size:
        raise ShardError(f"member {key}.{suffix} has {len(content):,} of its {size:,} bytes: the file was cut off")
    if suffix in members:
        raise ShardError(f"member {key}.{suffix} appears twice in its sample")
    if len(members) >= MAX_SAMPLE_MEMBERS:
        raise ShardError(f"sample {key} has more than {MAX_SAMPLE_MEMBERS:,} members")
    members[suffix] = content
