"""The picture in a file, without all that stands beside it: what is left has a known shape and costs what its pixels
cost.

Decoders read metadata, comments, colour profiles and further pictures of a file in loops over its bytes, with buffers
that grow. A JPEG of 1 MB holds an EXIF table that unfolds to gigabytes; a GIF of 30 MB has one comment that takes
minutes to join; thirty megabytes of 0xFF between two markers are skipped byte by byte. So a file is walked here first,
in steps of whole segments, and Pillow is handed the segments that make the picture.
"""

import re
import struct
from dataclasses import dataclass

from urt_core.errors import MediaError
from urt_core.media.exif import exif_orientation, xmp_orientation

MAX_SEGMENTS = 1 << 16
"""Segments, chunks or fill bytes of one file; 32 MB of PNG in the usual chunks of 8 KB have 4,096."""
MAX_SCANS = 100
"""Scans of a JPEG. Each is a pass over the whole picture, however short its data; encoders write at most about 12."""
MAX_RUN_LENGTH_BYTES = 1 << 20
"""A BMP in run lengths, which Pillow reads in Python, 1 s a megabyte."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_JPEG_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length: TEM and the restarts."""
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_PICTURE = {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xE0, 0xEE} | _JPEG_FRAMES
"""Tables, sizes, JFIF and Adobe's colour space."""
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """Picture(data=b"\\xff\\xd8...", orientation=6, is_progressive=True)"""

    data: bytes
    """A file that holds this picture and nothing else."""
    orientation: int = 1
    """As EXIF counts: 1 is upright, 6 has to be turned right."""
    is_progressive: bool = False
    """A JPEG of several passes, whose decoder holds all coefficients."""


def the_picture(data: bytes, *, name: str) -> Picture:
    """The first picture of a JPEG, PNG, GIF, WebP or BMP; what is none of them is left as it is, for the decoder to
    refuse."""
    if data[:3] == b"\xff\xd8\xff":
        return _jpeg(data, name)
    if data[:8] == PNG_SIGNATURE:
        return _png(data, name)
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return _gif(data, name)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data, name)
    if data[:2] == b"BM" and data[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(data) > MAX_RUN_LENGTH_BYTES:
        raise MediaError(f"{name}: a BMP in run lengths of {len(data):,} bytes, allowed are {MAX_RUN_LENGTH_BYTES:,}")
    return Picture(data=data)


def _jpeg(data: bytes, name: str) -> Picture:
    view, position, scans, steps = memoryview(data), 2, 0, 0
    kept: list[bytes | memoryview] = [data[:2]]
    exif = xmp = b""
    is_progressive = is_whole = False
    while position + 2 <= len(data):
        steps += 1
        if steps > MAX_SEGMENTS:
            raise MediaError(f"{name}: more than {MAX_SEGMENTS:,} segments in a JPEG")
        marker = data[position + 1]
        if data[position] != 0xFF or marker in (0x00, 0xFF):
            # Fill bytes are allowed in front of a marker. Anything else is damage, which the decoder names.
            if data[position] != 0xFF:
                break
            position += 1 + (marker == 0)
            continue
        if is_whole := marker == 0xD9:
            break
        if marker in _JPEG_ALONE:
            position += 2
            continue
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:
            scans += 1
            if scans > MAX_SCANS:
                raise MediaError(f"{name}: more than {MAX_SCANS} scans in a JPEG; save it again")
            following = _AFTER_SCAN.search(data, end)
            end = following.start() if following else len(data)
            kept.append(view[position:end])
        elif marker in _JPEG_PICTURE:
            is_progressive |= marker in (0xC2, 0xC6, 0xCA, 0xCE)
            kept.append(view[position:end])
        elif marker == 0xE1 and not exif and data.startswith(b"Exif\0\0", position + 4):
            exif = data[position + 10 : end]
        elif marker == 0xE1 and not xmp and data.startswith(b"http://ns.adobe.com/xap/1.0/\0", position + 4):
            xmp = data[position + 33 : end]
        position = end
    return Picture(
        data=b"".join((*kept, b"\xff\xd9" if is_whole else b"")),
        orientation=exif_orientation(exif) or xmp_orientation(xmp) or 1,
        is_progressive=is_progressive,
    )


def _png(data: bytes, name: str) -> Picture:
    view, position, steps = memoryview(data), 8, 0
    kept: list[bytes | memoryview] = [data[:8]]
    exif = xmp = b""
    while position + 8 <= len(data):
        steps += 1
        if steps > MAX_SEGMENTS:
            raise MediaError(f"{name}: more than {MAX_SEGMENTS:,} chunks in a PNG")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind in _PNG_PICTURE:
            kept.append(view[position:end])
        elif kind == b"eXIf":
            exif = data[position + 8 : end - 4]
        elif kind == b"iTXt" and data[position + 8 : position + 30] == b"XML:com.adobe.xmp\0\0\0\0\0":
            xmp = data[position + 30 : end - 4]
        if kind == b"IEND":
            break
        position = end
    return Picture(data=b"".join(kept), orientation=exif_orientation(exif) or xmp_orientation(xmp) or 1)


def _gif(data: bytes, name: str) -> Picture:
    """Header, colour tables, the control block that says which colour is transparent, and the first picture."""
    start = position = 13 + _colour_table(data, 10)
    control = b""
    for _ in range(MAX_SEGMENTS):
        kind = data[position : position + 1]
        if kind == b"\x21":
            end = _after_blocks(data, position + 2, name)
            if data[position + 1 : position + 2] == b"\xf9":
                control = data[position:end]
            position = end
        elif kind == b"\x2c":
            end = _after_blocks(data, position + 11 + _colour_table(data, position + 9), name)
            return Picture(data=b"".join((data[:start], control, data[position:end], b"\x3b")))
        elif not kind or kind == b"\x3b":
            break
        else:
            position += 1
    raise MediaError(f"{name}: not a readable image (a GIF without a picture)")


def _colour_table(data: bytes, flags_at: int) -> int:
    flags = data[flags_at] if flags_at < len(data) else 0
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _after_blocks(data: bytes, position: int, name: str) -> int:
    """Where a chain of blocks ends, each a length and that many bytes, the last of length 0."""
    blocks = data[position : position + 1]
    while blocks and blocks[0]:
        position += 1 + blocks[0]
        blocks = data[position : position + 1]
    return min(position + 1, len(data))


def _webp(data: bytes, name: str) -> Picture:
    position, exif, xmp = 12, b"", b""
    for _ in range(MAX_SEGMENTS):
        if position + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            exif = data[position + 8 : position + 8 + length].removeprefix(b"Exif\0\0")
        elif kind == b"XMP ":
            xmp = data[position + 8 : position + 8 + length]
        position += 8 + length + (length & 1)
    return Picture(data=data, orientation=exif_orientation(exif) or xmp_orientation(xmp) or 1)
