"""What stands beside the pixels of a file, counted before it is decoded."""

import io
import struct
import time
import zlib

import pytest
from PIL import Image

from tests.urt_core.media.generated import chunk, encode, jpeg_segments, outcome
from urt_core.errors import MediaError
from urt_core.media import decode_image
from urt_core.media.containers import the_picture


def test_scans_of_a_jpeg_are_counted() -> None:
    parts = jpeg_segments(encode(Image.new("RGB", (64, 64)), "JPEG", progressive=True))
    last = max(number for number, part in enumerate(parts) if part[:2] == b"\xff\xda")
    few = b"".join(parts[:last] + [parts[last]] * 20 + parts[last:])
    many = b"".join(parts[:last] + [parts[last]] * 2000 + parts[last:])
    assert outcome(few) == "RGB"
    with pytest.raises(MediaError, match="more than 100 scans"):
        decode_image(many)


def small_png(kind: bytes, data: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + header
        + chunk(kind, data)
        + chunk(b"IDAT", zlib.compress(b"\0" * 200))
        + chunk(b"IEND", b"")
    )


def unfolding_exif() -> bytes:
    """16,000 entries of 700 KB each that all point into the same 900 KB: 11 GB for whoever reads them."""
    entries = b"".join(struct.pack("<HHII", 0x1000 + number, 1, 700_000, 200) for number in range(16_000))
    block = b"II*\0\x08\0\0\0" + struct.pack("<H", 16_000) + entries + b"\0\0\0\0"
    return block + b"x" * (900_000 - len(block))


def quadratic_comment() -> bytes:
    """A GIF of 16 MB with one comment, which is joined block by block."""
    gif = encode(Image.new("RGB", (4, 4), "red"), "GIF")
    at = 13 + 3 * 2 ** ((gif[10] & 7) + 1)
    return gif[:at] + b"\x21\xfe" + (b"\xff" + b"a" * 255) * 65_000 + b"\0" + gif[at:]


@pytest.mark.parametrize(
    "data",
    [
        small_png(b"eXIf", unfolding_exif()),
        small_png(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"\0" * 30_000_000)),
        encode(Image.new("RGB", (8, 8)), "WEBP", exif=b"Exif\0\0" + unfolding_exif()),
        quadratic_comment(),
        b"\xff\xd8" + b"\xff" * 10_000_000,
        b"\xff\xd8\xff\xda\0\2" + b"\xff" * 1_000_000 + b"\0" * 9,
        b"\xff\xd8" + b"\xff\xe1\0\2" * 250_000,
        b"\x89PNG\r\n\x1a\n" + chunk(b"tEXt", b"") * 80_000,
    ],
    ids=["exif", "zipped xmp", "webp exif", "comment", "fill", "fill in a scan", "segments", "chunks"],
)
def test_what_stands_beside_a_picture_costs_nothing(data: bytes) -> None:
    started = time.thread_time()
    outcome(data)
    assert time.thread_time() - started < 2.0


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_the_picture_that_is_left_decodes_to_the_same_pixels(image_format: str) -> None:
    data = encode(Image.effect_noise((40, 24), 90).convert("RGB"), image_format)
    kept = the_picture(data, name="a")
    with Image.open(io.BytesIO(kept.data)) as left, Image.open(io.BytesIO(data)) as whole:
        assert left.convert("RGB").tobytes() == whole.convert("RGB").tobytes()
    assert (kept.orientation, len(kept.data) <= len(data)) == (1, True)


def test_comments_and_profiles_are_left_out_and_the_way_up_is_kept() -> None:
    about = Image.Exif()
    about[0x0112] = 6
    about[0x010E] = "a description " * 1000
    image = Image.new("RGB", (16, 16), "red")
    for image_format, more in (("JPEG", {"comment": b"words " * 1000}), ("PNG", {})):
        data = encode(image, image_format, exif=about, icc_profile=b"x" * 5000, **more)
        kept = the_picture(data, name="a")
        assert kept.orientation == 6
        assert len(kept.data) < 1000 < 14_000 < len(data)
        assert b"description" not in kept.data
        assert b"words" not in kept.data


def test_a_jpeg_says_whether_it_comes_in_passes() -> None:
    image = Image.new("RGB", (16, 16))
    assert the_picture(encode(image, "JPEG", progressive=True), name="a").is_progressive
    assert not the_picture(encode(image, "JPEG"), name="a").is_progressive


def test_a_gif_is_its_first_picture() -> None:
    frames = [Image.new("P", (8, 8), colour) for colour in (1, 2, 3)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    with Image.open(io.BytesIO(the_picture(data, name="a").data)) as kept:
        assert getattr(kept, "n_frames", 1) == 1
    with pytest.raises(MediaError, match="a GIF without a picture"):
        the_picture(b"GIF89a" + b"\0" * 7 + b"\x3b", name="a")


def test_what_is_no_picture_is_left_for_the_decoder_to_refuse() -> None:
    assert the_picture(b"%PDF-1.7", name="a").data == b"%PDF-1.7"
