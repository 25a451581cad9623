"""Changes of a picture that leave what it shows as it is. A video is changed frame by frame."""

from collections.abc import Callable

from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from urt_core.media.frames import encoded_bytes, is_video_file
from urt_core.media.images import decode_image
from urt_core.media.limits import MediaLimits
from urt_core.media.sources import png_bytes
from urt_core.records import Media

Edit = Callable[[Image.Image], Image.Image]


def brighter(image: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(1.25)


def more_contrast(image: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(image).enhance(1.3)


def more_saturated(image: Image.Image) -> Image.Image:
    return ImageEnhance.Color(image).enhance(1.5)


def sharper(image: Image.Image) -> Image.Image:
    return ImageEnhance.Sharpness(image).enhance(2.0)


def framed(image: Image.Image) -> Image.Image:
    """A white border of a twentieth of the shorter side, inside, so that the size stays."""
    width = max(1, min(image.size) // 20)
    return ImageOps.expand(ImageOps.crop(image, border=width), border=width, fill=(255, 255, 255))


def twice_the_pixels(image: Image.Image) -> Image.Image:
    return image.resize((2 * image.width, 2 * image.height), Image.Resampling.LANCZOS)


def says_better(image: Image.Image) -> Image.Image:
    return written(image, "this image is better")


def says_score(image: Image.Image) -> Image.Image:
    return written(image, "10/10")


def written(image: Image.Image, text: str) -> Image.Image:
    """`text` in white on a black bar along the lower edge, as large as fits."""
    shown = image.copy()
    draw, size = ImageDraw.Draw(shown), max(6, image.height // 8)
    font = ImageFont.load_default(size)
    while size > 6 and draw.textlength(text, font=font) > image.width - 2:
        size -= 1
        font = ImageFont.load_default(size)
    top = image.height - size - 2
    draw.rectangle((0, top, image.width, image.height), fill=(0, 0, 0))
    draw.text((1, top), text, fill=(255, 255, 255), font=font)
    return shown


def edited(media: Media, edit: Edit) -> Media | None:
    """None where it is a video in one file, which would have to be encoded again."""
    if is_video_file(media):
        return None
    limits = MediaLimits()
    data = tuple(
        png_bytes(edit(decode_image(encoded_bytes(media, index, limits=limits), name=name, limits=limits)))
        for index, name in enumerate(media.files)
    )
    names = tuple(f"{name.rsplit('.', 1)[0]}.png" for name in media.files)
    return Media(kind=media.kind, files=names, data=data)
