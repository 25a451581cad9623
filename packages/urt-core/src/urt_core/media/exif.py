"""The one thing that EXIF and XMP are read for: which way up a picture is."""

import re
import struct

_TAG = 0x0112
_XMP = re.compile(rb"tiff:Orientation(?:=[\"']|>)([1-8])")


def exif_orientation(exif: bytes) -> int | None:
    """The orientation (1 to 8) in the first directory of an EXIF block without its `Exif\\0\\0`; None where it names
    none.

    A directory is a TIFF header, a count and entries of 12 bytes: tag, type (3 is a short, 4 a long), number, value.
    Only this entry is looked at, so that what the others point to is never unfolded.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None or len(exif) < 8:
        return None
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    if at + 2 > len(exif):
        return None
    (count,) = struct.unpack_from(f"{order}H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, number = struct.unpack_from(f"{order}HHI", exif, entry)
        if tag == _TAG and number == 1 and kind in (3, 4):
            (value,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), exif, entry + 8)
            return value if 1 <= value <= 8 else None
    return None


def xmp_orientation(xmp: bytes) -> int | None:
    """The same from an XMP packet; cameras write EXIF, some editors write only this."""
    found = _XMP.search(xmp)
    return int(found[1]) if found else None
