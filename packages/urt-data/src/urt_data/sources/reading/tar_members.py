"""The members of a tar file from anywhere: a walk over its headers with a bound on everything they claim.

    walk(file) --> TarMember(name="images/0.jpg", offset=512, size=4096, refused="")

Python's own reader believes sizes below zero, takes quadratic time for long extended headers, and follows chains of
them by calling itself; this one reads the formats that archives of media have: USTAR, GNU long names, and PAX paths and
sizes. Sparse files, links and devices are named and not read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from urt_core.errors import DataError

BLOCK = 512
MAX_EXTENSION_BYTES = 64 * 2**10
"""Of one extended header or long name; a path of a media file is far shorter."""
MAX_EXTENSIONS = 4
"""In front of one member: a long name, a long link, a header of its own and one for all."""
REGULAR, FOLDER = b"0\0007", b"5"
LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL = b"L", b"K", b"x", b"g"
OCTAL = re.compile(rb"[ 0]*([0-7]*)[ \0]*")
PAX_LENGTH = re.compile(rb"(\d{1,7}) ")


@dataclass(frozen=True, kw_only=True, slots=True)
class TarMember:
    """One file of a tar.  TarMember(name="images/0.jpg", offset=512, size=4096, refused="")"""

    name: str
    offset: int
    """Of its content, in bytes from the start."""
    size: int
    refused: str
    """Why its content is never read; empty where it may be."""


class DamagedTarError(DataError):
    """A header that no writer makes, or a claim that the file does not hold."""


def walk(file: IO[bytes]) -> Iterator[TarMember]:
    """The members in order, folders left out; a `DamagedTarError` where the archive cannot be read any further."""
    size = file.seek(0, 2)
    offset, extensions, said = 0, 0, {}
    while offset < size:
        block = _read(file, offset, BLOCK, size)
        offset += BLOCK
        if not any(block):
            return  # the end of the archive
        _check_sum(block, offset)
        kind, claimed = block[156:157], _number(block[124:136], "size", offset)
        if kind in (LONG_NAME, LONG_LINK, PAX, PAX_GLOBAL):
            extensions += 1
            if extensions > MAX_EXTENSIONS or claimed > MAX_EXTENSION_BYTES:
                raise DamagedTarError(
                    f"{extensions} extended headers of {claimed:,} bytes stand in front of one member at byte {offset:,}; allowed are "
                    f"{MAX_EXTENSIONS} of {MAX_EXTENSION_BYTES:,}"
                )
            content = _read(file, offset, claimed, size)
            if kind == LONG_NAME:
                said[b"path"] = content.rstrip(b"\0")
            elif kind == PAX:
                said.update(_pax(content, offset))
            offset += claimed + -claimed % BLOCK
            continue
        claimed = _pax_size(said.get(b"size"), claimed, offset)
        if kind and kind in REGULAR and offset + claimed > size:
            raise DamagedTarError(f"the member at byte {offset:,} claims {claimed:,} bytes, the file ends before")
        if kind != FOLDER:
            name = said.get(b"path") or _name(block)
            is_plain = bool(kind) and kind in REGULAR and not any(key.startswith(b"GNU.sparse") for key in said)
            yield TarMember(
                name=name.decode("utf-8", "surrogateescape"),
                offset=offset,
                size=claimed,
                refused="" if is_plain else "is a link, a device or sparse",
            )
        # Links and devices have no content, whatever size they state.
        offset += claimed + -claimed % BLOCK if kind and kind in REGULAR else 0
        extensions, said = 0, {}
    if offset > size:
        raise DamagedTarError(f"it ends at byte {size:,}, inside the padding of its last member: it was cut off")


def _read(file: IO[bytes], offset: int, size: int, end: int) -> bytes:
    if offset + size > end:
        raise DamagedTarError(f"it ends at byte {end:,}, inside what begins at byte {offset:,}")
    file.seek(offset)
    return file.read(size)


def _name(block: bytes) -> bytes:
    name, prefix = block[:100].partition(b"\0")[0], block[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name


def _number(digits: bytes, what: str, offset: int) -> int:
    """Octal digits, or GNU's base 256 where the first bit is set; never below zero."""
    if digits[0] == 0x80:
        return int.from_bytes(digits[1:], "big")
    match = OCTAL.fullmatch(digits)
    if match is None:
        raise DamagedTarError(
            f"the header before byte {offset:,} has no number as its {what}: {digits!r}; there is no header or it is damaged"
        )
    return int(match[1] or b"0", 8)


def _check_sum(block: bytes, offset: int) -> None:
    stated = _number(block[148:156], "checksum", offset)
    body = block[:148] + b" " * 8 + block[156:]
    # Old writers added up signed bytes.
    if stated not in (sum(body), sum(byte - 256 * (byte > 127) for byte in body)):
        raise DamagedTarError(f"there is no header at byte {offset - BLOCK:,}: its checksum is wrong")


def _pax(content: bytes, offset: int) -> dict[bytes, bytes]:
    """`28 path=images/0.jpg\\n` one after the other, in one pass."""
    said, place = {}, 0
    while place < len(content) and content[place]:
        length = PAX_LENGTH.match(content, place)
        end = place + int(length[1]) if length else 0
        if length is None or not length.end() < end <= len(content) or content[end - 1 : end] != b"\n":
            raise DamagedTarError(f"the extended header at byte {offset:,} is no list of length, key and value")
        key, equals, value = content[length.end() : end - 1].partition(b"=")
        if not equals:
            raise DamagedTarError(f"the extended header at byte {offset:,} has a key without a value")
        said[key] = value
        place = end
    return said


def _pax_size(said: bytes | None, claimed: int, offset: int) -> int:
    if said is None:
        return claimed
    if not said.isdigit() or len(said) > 20:
        raise DamagedTarError(f"the extended header before byte {offset:,} has {said[:30]!r} as a size")
    return int(said)
