"""One encoded image -> one upright RGB `PIL.Image`, or a `MediaError`. Never more memory than the limits allow."""

import importlib.util
import io
import math

from PIL import ExifTags, Image, ImageOps

from urt_core.errors import MediaError
from urt_core.media.containers import Picture, the_picture
from urt_core.media.limits import MediaLimits, check_bytes, check_size, decoder_wall

# Formats with one small, well tested decoder each. TIFF, PSD, ICNS and the like bring codecs that nobody needs here.
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
LARGE_PIXELS = 4096 * 4096
"""Above this, a picture is scaled while it is decoded, and converted strip by strip."""
MAX_DECODER_BYTES = 270 * 2**20
"""What a decoder may hold. It ends WebP at 17.7 megapixels (where it isn't scaled by PyAV), and progressive JPEG at
28 where it isn't scaled."""
_STRIP_PIXELS = 1 << 20
_TURN = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of that EXIF orientation upright."""


def decode_image(
    data: bytes, *, name: str = "image", limits: MediaLimits | None = None, shown_pixels: int | None = None
) -> Image.Image:
    """Decode `data`: first frame only, EXIF orientation applied, transparency laid on white, 16 bit scaled to 8.

    `shown_pixels` says that the picture will be scaled to at most that many. Then one above 4096 x 4096 pixels comes
    back smaller, by a whole factor, but with at least four times `shown_pixels`: JPEG by its decoder (draft mode), the
    others by the mean of each block. What is scaled from there differs from a scaling of the whole by less than the eye
    sees.
    """
    limits = limits or MediaLimits()
    check_bytes(data, name=name, limits=limits)
    with decoder_wall(name, kind="image", remedy=f"; allowed formats: {', '.join(IMAGE_FORMATS)}"):
        picture = the_picture(data, name=name)
        with Image.open(io.BytesIO(picture.data), formats=IMAGE_FORMATS) as image:
            # Only the header has been read so far.
            width, height = image.size
            check_size(width, height, name=name, limits=limits)
            large = width * height > LARGE_PIXELS
            factor = reduction(width, height, shown_pixels) if large and shown_pixels else 1
            if image.format == "WEBP" and factor > 1 and importlib.util.find_spec("av"):
                shown = _large_webp(picture.data, name=name, limits=limits, shown_pixels=shown_pixels or 1)
                return _turned(shown, picture)
            _check_memory(image, picture, factor=factor, name=name)
            if factor > 1 and image.format == "JPEG":
                image.draft(image.mode, (-(-width // factor), -(-height // factor)))
                factor = max(1, factor * image.width // width)
            image.load()
            shown = _by_strips(image, factor) if large else rgb_copy(image)
        return _turned(shown, picture)


def _turned(shown: Image.Image, picture: Picture) -> Image.Image:
    turn = _TURN.get(picture.orientation)
    return shown.transpose(turn) if turn is not None else shown


def _large_webp(data: bytes, *, name: str, limits: MediaLimits, shown_pixels: int) -> Image.Image:
    """A WebP that Pillow's decoder would hold four times, by FFmpeg's, which holds it once; where PyAV is installed."""
    from urt_core.media.isolation import decode_apart
    from urt_core.media.sampling import MediaPolicy

    policy = MediaPolicy(min_pixels=1, max_pixels=4 * shown_pixels, num_frames=1)
    [shown] = decode_apart(data, policy=policy, name=name, limits=limits, container_format="webp_pipe")
    return shown


def reduction(width: int, height: int, shown_pixels: int) -> int:
    """The whole factor by which both sides may shrink so that four times `shown_pixels` are left."""
    return max(1, math.isqrt(width * height // (4 * shown_pixels)))


def _check_memory(image: Image.Image, picture: Picture, *, factor: int, name: str) -> None:
    """What the decoder of this format holds for a moment: four copies in WebP, all coefficients in a progressive
    JPEG."""
    pixels, components = image.width * image.height, len(image.getbands())
    per_pixel = {"WEBP": 16.0, "JPEG": 4 / factor**2 + 2 * components * picture.is_progressive}.get(
        image.format or "", 4.0
    )
    if pixels * per_pixel > MAX_DECODER_BYTES:
        raise MediaError(
            f"{name}: {image.width}x{image.height} pixels, which {'a progressive ' if picture.is_progressive else ''}"
            f"{image.format} needs {pixels * per_pixel / 2**20:,.0f} MiB to decode; allowed are {MAX_DECODER_BYTES >> 20}"
            " (scale it down, or save it as PNG or plain JPEG)"
        )


def _by_strips(image: Image.Image, factor: int) -> Image.Image:
    """`rgb_copy`, both sides divided by `factor`; a whole copy in another mode would not fit beside a large picture."""
    whole = Image.new("RGB", (-(-image.width // factor), -(-image.height // factor)))
    rows = max(1, _STRIP_PIXELS // image.width // factor) * factor
    for top in range(0, image.height, rows):
        strip = rgb_copy(image.crop((0, top, image.width, min(top + rows, image.height))))
        whole.paste(strip.reduce(factor) if factor > 1 else strip, (0, top // factor))
    return whole


def upright_rgb(image: Image.Image) -> Image.Image:
    """`rgb_copy`, turned by the EXIF that a picture of somebody else's carries."""
    # Both calls copy even where nothing changes; of a large image a copy is 67 MB.
    turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return rgb_copy(ImageOps.exif_transpose(image) if turned else image)


def rgb_copy(image: Image.Image) -> Image.Image:
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
