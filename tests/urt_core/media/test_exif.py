"""Which way up: as Pillow shows it, and of any bytes."""

import io
import random
import struct

import pytest
from PIL import Image, ImageOps

from tests.urt_core.media.generated import encode, exif
from urt_core.media import decode_image
from urt_core.media.exif import exif_orientation, xmp_orientation


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_the_one_that_pillow_shows(image_format: str, orientation: int) -> None:
    image = Image.new("RGB", (48, 32), "black")
    image.paste("red", (0, 0, 16, 16))
    image.paste("blue", (32, 0, 48, 16))
    about = Image.Exif()
    about[0x0112] = orientation
    data = encode(image, image_format, exif=about, quality=100)
    with Image.open(io.BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert decode_image(data).tobytes() == expected.tobytes()


def test_exif_of_any_bytes_is_read_or_passed_over() -> None:
    rng = random.Random(0)
    found = {exif_orientation(exif(rng)[: rng.randint(0, 90)]) for _ in range(3000)}
    assert found <= {None, *range(1, 9)}
    assert len(found) > 4


def directory(order: str, *entries: tuple[int, int, int, int]) -> bytes:
    """A block with entries of (tag, type, number, value), the value as a short in four bytes or as a long."""
    block = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    for tag, kind, number, value in entries:
        block += struct.pack(f"{order}HHI", tag, kind, number)
        block += struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
    return block


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_entry_is_found_in_either_byte_order_behind_others(order: str, kind: int, orientation: int) -> None:
    assert exif_orientation(directory(order, (0x0100, 4, 1, 9), (0x0112, kind, 1, orientation))) == orientation


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\0",
        directory("<"),
        directory("<", (0x0112, 3, 1, 0)),
        directory("<", (0x0112, 3, 1, 9)),
        directory("<", (0x0112, 3, 2, 6)),  # two values stand elsewhere
        directory("<", (0x0112, 2, 1, 6)),  # a text
        directory("<", (0x0112, 3, 1, 6))[:-1],
        b"II*\0" + struct.pack("<I", 2**31),
    ],
)
def test_what_names_none_is_none(block: bytes) -> None:
    assert exif_orientation(block) is None


@pytest.mark.parametrize(
    ("xmp", "expected"),
    [
        (b'<rdf tiff:Orientation="6"/>', 6),
        (b"<rdf tiff:Orientation='3'/>", 3),
        (b"<tiff:Orientation>8</tiff:Orientation>", 8),
        (b'tiff:Orientation="9"', None),
        (b"", None),
    ],
)
def test_xmp_says_the_same_in_words(xmp: bytes, expected: int | None) -> None:
    assert xmp_orientation(xmp) == expected
