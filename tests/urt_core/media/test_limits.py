"""The wall: whatever bytes come in, a picture, frames or a MediaError go out, within memory and time."""

import random
import struct
import time
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.urt_core.media.generated import MAKERS, chunk, encode, exif, has_codec, jpeg_segments, pictures, videos
from urt_core.errors import MediaError
from urt_core.media import MediaLimits, MediaPolicy, as_media, decode_image, load_frames
from urt_core.media.limits import decoder_wall
from urt_core.records import MediaKind

NUM_PICTURES = 10_000
NUM_VIDEOS = 900


def outcome(data: bytes) -> str:
    try:
        return decode_image(data).mode
    except MediaError:
        return "MediaError"


def test_generated_pictures_end_in_a_picture_or_a_media_error() -> None:
    """Both ends occur for every maker, or the generator tests nothing."""
    found: dict[int, set[str]] = {number: set() for number in range(len(MAKERS))}
    slowest = 0.0
    for number, data in enumerate(pictures(NUM_PICTURES, seed=7)):
        started = time.thread_time()
        found[number % len(MAKERS)].add(outcome(data))
        slowest = max(slowest, time.thread_time() - started)
    assert set(map(frozenset, found.values())) == {frozenset({"RGB", "MediaError"})}
    assert slowest < 5.0


def test_generated_videos_end_in_frames_or_a_media_error() -> None:
    pytest.importorskip("av", reason="PyAV is not installed; it is the extra urt-core[video]")
    if not has_codec("mpeg4"):
        pytest.skip("this PyAV encodes no mpeg4")
    policy, ends = MediaPolicy(min_pixels=1), {"frames": 0, "MediaError": 0}
    for data in videos(NUM_VIDEOS, seed=3):
        try:
            frames = load_frames(as_media(data, kind=MediaKind.VIDEO), policy)
            assert all(frame.mode == "RGB" for frame in frames)
            ends["frames"] += 1
        except MediaError:
            ends["MediaError"] += 1
    assert min(ends.values()) > 100


@pytest.mark.parametrize(
    "error", [AssertionError(), SystemError("x"), RecursionError(), Warning("w"), KeyError(1), MemoryError()]
)
def test_the_wall_knows_no_list(error: Exception) -> None:
    with pytest.raises(MediaError, match="not a readable image") as caught, decoder_wall("a.png", kind="image"):
        raise error
    assert caught.value.__cause__ is error


def test_the_wall_lets_an_interrupt_through() -> None:
    with pytest.raises(KeyboardInterrupt), decoder_wall("a.png", kind="image"):
        raise KeyboardInterrupt


def test_a_picture_that_was_only_opened_is_decoded_behind_the_wall(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(encode(Image.effect_noise((64, 64), 90), "PNG")[:900])
    with Image.open(tmp_path / "cut.png") as image, pytest.raises(MediaError, match="not a readable image"):
        as_media(image, kind=MediaKind.IMAGE)


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


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_the_one_that_pillow_shows(image_format: str, orientation: int) -> None:
    from PIL import ImageOps

    image = Image.new("RGB", (48, 32), "black")
    image.paste("red", (0, 0, 16, 16))
    image.paste("blue", (32, 0, 48, 16))
    about = Image.Exif()
    about[0x0112] = orientation
    data = encode(image, image_format, exif=about, quality=100)
    with Image.open(__import__("io").BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    assert decode_image(data).tobytes() == expected.tobytes()


def test_exif_of_any_bytes_is_read_or_passed_over() -> None:
    from urt_core.media.exif import exif_orientation

    rng = random.Random(0)
    found = {exif_orientation(exif(rng)[: rng.randint(0, 90)]) for _ in range(3000)}
    assert found <= {None, *range(1, 9)}
    assert len(found) > 4


def test_a_fifo_and_a_device_are_no_files(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path):
        with pytest.raises(MediaError, match="cannot be read"):
            load_frames(as_media(path, kind=MediaKind.IMAGE), MediaPolicy())
    with pytest.raises(MediaError, match="cannot be read"):
        load_frames(as_media("\ud800.png", kind=MediaKind.IMAGE), MediaPolicy())


def test_limits_hold_for_arrays_too() -> None:
    import numpy as np

    with pytest.raises(MediaError, match=r"MediaLimits\.max_image_pixels"):
        as_media(np.zeros((100, 100), np.uint8), kind=MediaKind.IMAGE, limits=MediaLimits(max_image_pixels=99))
