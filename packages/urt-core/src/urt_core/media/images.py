"""One encoded image -> one upright RGB `PIL.Image`, or a `MediaError`. Never more memory than the limits allow."""

import io
import struct
import zlib
from dataclasses import dataclass

from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from urt_core.errors import MediaError

# Formats with one small, well tested decoder each. TIFF, PSD, ICNS and the like bring codecs that nobody needs here.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")

# What Pillow's parsers raise on broken files. `Warning` is there because a caller may run with warnings as errors.
DECODER_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    ArithmeticError,
    AttributeError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Warning,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaLimits:
    """What is refused before decoding.

    4096 x 4096 pixels are 67 MB as Pillow stores them; the worst decoder (WebP) holds four copies for a moment.

        MediaLimits(max_file_bytes=32 * 2**20, max_image_pixels=4096 * 4096, max_frames=4096)
    """

    max_file_bytes: int = 32 * 2**20
    max_image_pixels: int = 4096 * 4096
    max_frames: int = 4096


def decode_image(data: bytes, *, name: str = "image", limits: MediaLimits | None = None) -> Image.Image:
    """Decode `data`: first frame only, EXIF orientation applied, transparency laid on white, 16 bit scaled to 8."""
    limits = limits or MediaLimits()
    if not data:
        raise MediaError(f"{name}: the file is empty (0 bytes)")
    if len(data) > limits.max_file_bytes:
        raise MediaError(
            f"{name}: {len(data):,} bytes, allowed are {limits.max_file_bytes:,} (MediaLimits.max_file_bytes)"
        )
    try:
        with Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
            # Only the header has been read so far.
            check_size(*image.size, name=name, limits=limits)
            image.load()
            return upright_rgb(image)
    except MediaError:
        raise
    except DECODER_ERRORS as error:
        # Pillow's own words for an unknown format hold an address in memory; details of equal files have to be equal.
        unknown = isinstance(error, UnidentifiedImageError)
        reason = "unknown format" if unknown else f"{type(error).__name__}: {str(error)[:200]}"
        raise MediaError(
            f"{name}: not a readable image ({reason}); allowed formats: {', '.join(IMAGE_FORMATS)}"
        ) from error


def check_size(width: int, height: int, *, name: str, limits: MediaLimits) -> None:
    if width < 1 or height < 1:
        raise MediaError(f"{name}: {width}x{height} pixels, both sides must be at least 1")
    if width * height > limits.max_image_pixels:
        raise MediaError(
            f"{name}: {width}x{height} pixels, allowed are {limits.max_image_pixels:,} (MediaLimits.max_image_pixels); scale it down first"
        )
    if max(width, height) > 200 * min(width, height):
        raise MediaError(f"{name}: {width}x{height}, sides may differ by a factor of 200 at most; crop it first")


def upright_rgb(image: Image.Image) -> Image.Image:
    # Both calls copy even where nothing changes; of a large image a copy is 67 MB.
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow's own conversion to 8 bits clips at 255 instead of scaling.
        image = image.convert("I").point(lambda level: level * (1 / 257)).convert("L")
    if image.has_transparency_data:
        if image.mode != "RGBA":
            image = image.convert("RGBA")
        white = Image.new("RGB", image.size, (255, 255, 255))
        white.paste(image, mask=image.getchannel("A"))
        return white
    # A copy even for RGB, so that the result does not keep the encoded file alive.
    return image.convert("RGB") if image.mode != "RGB" else image.copy()
