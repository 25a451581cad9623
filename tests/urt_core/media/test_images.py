"""Decoding: the right pixels from every allowed format, a typed error for everything else, and memory within its
bound."""

import io
import random
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from urt_core.errors import MediaError
from urt_core.media import MediaLimits, MediaPolicy, as_media, decode_image, load_frames
from urt_core.media.sampling import fit_pixels
from urt_core.records import MediaKind

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")


def encode(image, image_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def gradient(size=(40, 24)):
    return Image.merge("RGB", [Image.linear_gradient("L").resize(size).rotate(90 * k).resize(size) for k in range(3)])


@pytest.mark.parametrize("image_format", FORMATS)
def test_every_allowed_format(image_format):
    decoded = decode_image(encode(gradient(), image_format))
    assert (decoded.mode, decoded.size) == ("RGB", (40, 24))
    if image_format in ("PNG", "BMP"):
        assert decoded.tobytes() == gradient().tobytes()


@pytest.mark.parametrize("image_format", ["TIFF", "PPM", "ICO", "TGA", "PCX", "EPS"])
def test_other_formats_are_refused(image_format):
    with pytest.raises(MediaError, match="allowed formats: PNG, JPEG, WEBP, GIF, BMP"):
        decode_image(encode(gradient((32, 32)), image_format), name="a")


def test_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held so that the picture has to be turned right
    image = Image.new("RGB", (40, 24), "black")
    image.paste((255, 0, 0), (0, 0, 8, 8))
    turned = decode_image(encode(image, "JPEG", exif=exif, quality=100, subsampling=0))
    assert turned.size == (24, 40)
    red = np.asarray(turned)[:, :, 0]
    assert red[3, 20] > 200
    assert red[3, 3] < 50


def test_transparency_lies_on_white():
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    assert [decode_image(encode(image, "PNG")).getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (10, 20, 30)]
    palette = Image.new("P", (1, 1), 0)
    palette.putpalette([9, 9, 9] * 256)
    assert decode_image(encode(palette, "PNG", transparency=0)).getpixel((0, 0)) == (255, 255, 255)


def test_sixteen_bits_are_scaled_and_not_clipped():
    image = Image.new("I;16", (3, 1))
    for x, level in enumerate((0, 257 * 100, 65535)):
        image.putpixel((x, 0), level)
    decoded = decode_image(encode(image, "PNG"))
    assert [decoded.getpixel((x, 0)) for x in range(3)] == [(0, 0, 0), (100, 100, 100), (255, 255, 255)]


def test_cmyk_greyscale_and_one_bit():
    assert decode_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")).tobytes()[0] > 200
    assert decode_image(encode(Image.new("L", (1, 1), 77), "PNG")).getpixel((0, 0)) == (77, 77, 77)
    assert decode_image(encode(Image.new("1", (1, 1), 1), "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_of_an_animation_the_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    for image_format in ("GIF", "WEBP"):
        options = {"save_all": True, "append_images": frames[1:], "lossless": True}
        red, green, blue = decode_image(encode(frames[0], image_format, **options)).tobytes()[:3]
        assert red > 250
        assert green < 5
        assert blue < 5


def png_of_size(width, height):
    """A valid PNG whose header promises `width` x `height` pixels and whose data are a few bytes: a decompression
    bomb."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "size", [(5000, 5000), (100_000, 100_000), (1_000_000, 1_000_000), (2**31 - 1, 2**31 - 1), (20_000_001, 1), (0, 5)]
)
def test_absurd_sizes_are_refused_from_the_header(size):
    with pytest.raises(MediaError):
        decode_image(png_of_size(*size))


def test_limits_are_named():
    with pytest.raises(MediaError, match=r"pic: 40x24 pixels, allowed are 900 \(MediaLimits.max_image_pixels\)"):
        decode_image(encode(gradient(), "PNG"), name="pic", limits=MediaLimits(max_image_pixels=900))
    with pytest.raises(MediaError, match=r"allowed are 10 \(MediaLimits.max_file_bytes\)"):
        decode_image(encode(gradient(), "PNG"), limits=MediaLimits(max_file_bytes=10))
    with pytest.raises(MediaError, match="factor of 200"):
        decode_image(encode(Image.new("RGB", (401, 2)), "PNG"))
    with pytest.raises(MediaError, match="0 bytes"):
        decode_image(b"")


def mutations(data, number, generator):
    """Half are cut off, half have up to 20 bits flipped."""
    for index in range(number):
        if index % 2:
            yield data[: generator.randrange(len(data))]
        else:
            mutated = bytearray(data)
            for _ in range(generator.randint(1, 20)):
                mutated[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
            yield bytes(mutated)


@pytest.mark.parametrize("image_format", FORMATS)
def test_damaged_files_decode_or_are_media_errors(image_format):
    generator = random.Random(image_format)
    image = gradient((96, 64))
    for data in mutations(encode(image, image_format), 200, generator):
        try:
            decoded = decode_image(data)
        except MediaError:
            continue
        assert decoded.mode == "RGB"
        assert decoded.width * decoded.height <= MediaLimits().max_image_pixels


MAKE_LARGEST = """
import io, sys
from PIL import Image
for mode, image_format, size in [
    ("RGB", "PNG", (4096, 4096)), ("RGBA", "PNG", (4096, 4096)), ("RGB", "JPEG", (4096, 4096)), ("P", "GIF", (4096, 4096)),
    ("RGBA", "WEBP", (4096, 4096)), ("RGB", "BMP", (3300, 3300)),
]:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, image_format, method=0, lossless=True, compress_level=1)
    sys.stdout.buffer.write(len(buffer.getvalue()).to_bytes(8, "big") + buffer.getvalue())
"""
DECODE_LARGEST = """
import io, resource, sys
from urt_core.media import decode_image
stream, data = io.BytesIO(sys.stdin.buffer.read()), []
while size := stream.read(8):
    data.append(stream.read(int.from_bytes(size, "big")))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for encoded in data:
    assert decode_image(encoded).mode == "RGB"
print(len(data), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_the_largest_allowed_images_stay_within_300_mb():
    # Encoding needs memory of its own, so the images are made in one process and decoded in a fresh one.
    encoded = subprocess.run([sys.executable, "-c", MAKE_LARGEST], capture_output=True, check=True).stdout
    result = subprocess.run([sys.executable, "-c", DECODE_LARGEST], input=encoded, capture_output=True, check=True)
    number, growth_mb = result.stdout.split()
    assert int(number) == 6
    assert float(growth_mb) < 300


MAKE_PHOTOS = """
import io, sys
from PIL import Image
photo = Image.radial_gradient("L").resize((6000, 4000))
for mode, options in [
    ("RGB", {"format": "JPEG"}), ("RGB", {"format": "JPEG", "progressive": True, "subsampling": 0}), ("CMYK", {"format": "JPEG"}),
    ("RGB", {"format": "PNG", "compress_level": 1}), ("RGBA", {"format": "PNG", "compress_level": 1}), ("LA", {"format": "PNG", "compress_level": 1}),
    ("P", {"format": "GIF"}),
]:
    buffer = io.BytesIO()
    photo.convert(mode).save(buffer, **options)
    sys.stdout.buffer.write(len(buffer.getvalue()).to_bytes(8, "big") + buffer.getvalue())
"""
DECODE_PHOTOS = DECODE_LARGEST.replace(
    'assert decode_image(encoded).mode == "RGB"',
    """
    whole = decode_image(encoded)
    shown = decode_image(encoded, shown_pixels=512 * 512)
    assert (whole.size, shown.size) == ((6000, 4000), (1500, 1000)), (whole.size, shown.size)
""",
)


def test_photos_of_24_megapixels_stay_within_300_mb_whole_or_scaled():
    encoded = subprocess.run([sys.executable, "-c", MAKE_PHOTOS], capture_output=True, check=True).stdout
    result = subprocess.run([sys.executable, "-c", DECODE_PHOTOS], input=encoded, capture_output=True, check=True)
    number, growth_mb = result.stdout.split()
    assert int(number) == 7
    assert float(growth_mb) < 300


@pytest.mark.parametrize("options", [{"format": "JPEG", "quality": 95}, {"format": "PNG", "compress_level": 1}])
def test_a_large_photo_shown_small_looks_like_its_whole(options):
    """Scaled while it is decoded, against scaled from the whole: smooth content, so one level of 255 on average at
    most."""
    photo = Image.merge("RGB", [Image.radial_gradient("L").resize((4400, 4000)).rotate(90 * k) for k in range(3)])
    buffer = io.BytesIO()
    photo.save(buffer, **options)
    media = as_media(buffer.getvalue(), kind=MediaKind.IMAGE)
    policy = MediaPolicy(max_pixels=256 * 256)
    [shown] = load_frames(media, policy)
    expected = fit_pixels(decode_image(buffer.getvalue()), policy)
    assert shown.size == expected.size
    assert np.abs(np.asarray(shown, float) - np.asarray(expected, float)).mean() < 1.0


def test_what_a_decoder_would_hold_is_refused_by_its_format():
    image = Image.new("RGB", (6000, 4000))
    with pytest.raises(MediaError, match=r"6000x4000 pixels, which WEBP needs 366 MiB"):
        decode_image(encode(image, "WEBP", lossless=True, method=0))


@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_of_24_megapixels_is_read_by_the_decoder_that_holds_it_once(lossless):
    pytest.importorskip("av", reason="PyAV is not installed; it is the extra urt-core[video]")
    image = Image.new("RGBA", (6000, 4000), (200, 30, 30, 255))
    image.paste((0, 0, 255, 0), (0, 0, 3000, 4000))  # transparent, so it lies on white
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(image, "WEBP", lossless=lossless, method=0, quality=90, exif=exif)
    [shown] = load_frames(as_media(data, kind=MediaKind.IMAGE), MediaPolicy(max_pixels=256 * 256))
    assert shown.width < shown.height
    assert shown.width * shown.height == pytest.approx(256 * 256, rel=0.02)
    pixels = np.asarray(shown, float)
    assert pixels[20, 100] == pytest.approx([255, 255, 255], abs=6)
    assert pixels[-20, 100] == pytest.approx([200, 30, 30], abs=6)
