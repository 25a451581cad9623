"""Whatever a caller holds -> `Media`: PIL images, paths, encoded bytes, data URIs, arrays, tensors, lists of frames."""

import base64
import binascii
import io
import os
import re
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import unquote

from PIL import Image

from urt_core.errors import MediaError
from urt_core.media.frames import VIDEO_SUFFIXES, read_file
from urt_core.media.images import upright_rgb
from urt_core.media.limits import MediaLimits, check_size, decoder_wall
from urt_core.media.video import sniff_container
from urt_core.records import Media, MediaKind

Download = Callable[[str], bytes]

ACCEPTED = (
    "Media, PIL.Image, a path, encoded bytes, a data: URI, a uint8 or 0..1 float array or tensor, or a list of frames"
)
# Beyond this a float image is on another scale (0..255, or -1..1), not merely rounded.
FLOAT_TOLERANCE = 1e-3
VIDEO_SUFFIX_OF = {"mov": "mp4", "matroska": "mkv", "avi": "avi", "gif": "gif"}


def as_media(
    value: Any,
    *,
    kind: MediaKind,
    name: str = "media",
    download: Download | None = None,
    allow_paths: bool = True,
    limits: MediaLimits | None = None,
) -> Media:
    """`value` as an image or a video. Nothing is decoded here; what is raw pixels becomes PNG, which loses nothing.

    `download` makes http(s) addresses allowed and fetches them (`urt_core.media.download.Downloader`); without it they
    are refused. A server passes `allow_paths=False`, so that a request can't name files of its machine.
    """
    limits = limits or MediaLimits()
    kind = MediaKind(kind)
    if isinstance(value, Media):
        if value.kind is not kind:
            raise MediaError(f"{name} is Media of kind {value.kind}, the task needs kind {kind}")
        if not allow_paths and not value.data:
            raise MediaError(f"{name} names files; give their bytes")
        return value
    if kind is MediaKind.VIDEO:
        return video_media(value, name=name, download=download, allow_paths=allow_paths, limits=limits)
    file_name, data = image_file(value, name=name, download=download, allow_paths=allow_paths, limits=limits)
    return Media(kind=kind, files=(file_name,), data=(data,) if data is not None else ())


def video_media(value: Any, *, name: str, download: Download | None, allow_paths: bool, limits: MediaLimits) -> Media:
    """A video file, or frames: a list of images of any accepted form, or an array with one more dimension than an
    image."""
    if isinstance(value, str | os.PathLike) or is_bytes(value):
        file_name, data = image_file(value, name=name, download=download, allow_paths=allow_paths, limits=limits)
        if data is not None:
            file_name = f"{name}.{VIDEO_SUFFIX_OF[sniff_container(data, name)]}"
        elif not file_name.lower().endswith(VIDEO_SUFFIXES):
            raise MediaError(f"{name}: {file_name!r} is no video file; known endings: {', '.join(VIDEO_SUFFIXES)}")
        return Media(kind=MediaKind.VIDEO, files=(file_name,), data=(data,) if data is not None else ())
    frames = list(value) if isinstance(value, Sequence) or getattr(value, "ndim", 0) == 4 else []
    if not frames:
        raise MediaError(f"{name} is a {type(value).__name__}; a video is a file or a non-empty list of frames")
    if len(frames) > limits.max_frames:
        raise MediaError(f"{name}: {len(frames):,} frames, allowed are {limits.max_frames:,} (MediaLimits.max_frames)")
    files = [
        image_file(frame, name=f"{name}.f{index:02}", download=download, allow_paths=allow_paths, limits=limits)
        for index, frame in enumerate(frames)
    ]
    if all(data is None for _, data in files):
        return Media(kind=MediaKind.VIDEO, files=tuple(file_name for file_name, _ in files))
    data = tuple(read_file(file_name, limits=limits) if data is None else data for file_name, data in files)
    return Media(kind=MediaKind.VIDEO, files=tuple(file_name for file_name, _ in files), data=data)


def image_file(
    value: Any, *, name: str, download: Download | None, allow_paths: bool, limits: MediaLimits
) -> tuple[str, bytes | None]:
    """A file name and its bytes; None where the name is a path that is read later."""
    if is_bytes(value):
        return f"{name}.bin", bytes(value)
    if isinstance(value, str) and value[:64].lstrip().lower().startswith("data:"):
        return f"{name}.bin", data_uri_bytes(value, name=name, limits=limits)
    if isinstance(value, str) and value[:8].lower().startswith(("http://", "https://")):
        if download is None:
            raise MediaError(f"{name} is an address; downloads are off by default, switch them on or give the bytes")
        return f"{name}.bin", download(value)
    if isinstance(value, str | os.PathLike):
        if not allow_paths:
            raise MediaError(f"{name} is a path or text; here only data: URIs (and addresses, if switched on) are read")
        path = os.fspath(value)
        if not path or "\0" in path:
            raise MediaError(f"{name} is {path!r}, which is no path")
        return str(path), None
    if isinstance(value, Image.Image):
        check_size(*value.size, name=name, limits=limits)
        with decoder_wall(name, kind="image"):  # one that was only opened is decoded here
            return f"{name}.png", png_bytes(upright_rgb(value))
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        with decoder_wall(name, kind="array"):
            return f"{name}.png", png_bytes(array_image(value, name=name, limits=limits))
    raise MediaError(f"{name} is a {type(value).__name__}; accepted: {ACCEPTED}")


def array_image(value: Any, *, name: str, limits: MediaLimits) -> Image.Image:
    """An array or tensor, HWC or CHW with 1, 3 or 4 channels (or HW): uint8, or float in 0..1."""
    import numpy as np

    if hasattr(value, "detach"):  # a torch tensor; numpy knows no bfloat16
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.asarray(value)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or (array.shape[-1] not in (1, 3, 4) and array.shape[0] not in (1, 3, 4)):
        raise MediaError(
            f"{name} is an array of shape {array.shape}; an image is HW, HWC or CHW with 1, 3 or 4 channels"
        )
    if array.shape[-1] in (1, 3, 4) and array.shape[0] in (1, 3, 4):
        raise MediaError(f"{name} of shape {array.shape} can be read as HWC and as CHW; give a PIL image")
    if array.shape[-1] not in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    check_size(array.shape[1], array.shape[0], name=name, limits=limits)
    if np.issubdtype(array.dtype, np.floating):
        # Written so that NaN fails it too.
        if not (array.min() >= -FLOAT_TOLERANCE and array.max() <= 1 + FLOAT_TOLERANCE):
            raise MediaError(f"{name}: float pixels from {array.min()} to {array.max()}; they must be within 0..1")
        array = np.rint(array.clip(0, 1) * 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise MediaError(f"{name} is an array of {array.dtype}; pixels are uint8 in 0..255 or float in 0..1")
    return upright_rgb(Image.fromarray(np.ascontiguousarray(array[:, :, 0] if array.shape[2] == 1 else array)))


def png_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def data_uri_bytes(uri: str, *, name: str, limits: MediaLimits) -> bytes:
    """The bytes of `data:<type>;base64,<text>`; the type is ignored, the bytes are looked at instead.

    The text is read as browsers read it (WHATWG, Infra, "forgiving-base64 decode"; URL percent-decoding before it):
    line ends and padding are free. The URL-safe alphabet is taken as well.
    """
    header, comma, text = uri.partition(",")
    if not comma or not re.search(r"; *base64 *\Z", header, re.IGNORECASE):
        raise MediaError(f"{name}: a data URI must read data:<type>;base64,<text>, got {uri[:40]!r}")
    # An escaped character is three, a line end two.
    if len(text) > 2 * limits.max_file_bytes + 4:
        raise too_large(name, limits)
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        decoded = forgiven_base64(text, name=name)
    if len(decoded) > limits.max_file_bytes:
        raise too_large(name, limits)
    return decoded


def forgiven_base64(text: str, *, name: str) -> bytes:
    text = re.sub(r"[ \t\n\f\r]", "", unquote(text)).rstrip("=")
    try:
        return base64.b64decode(text.translate(URL_SAFE) + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"{name}: the data URI is not base64 ({error})") from error


URL_SAFE = str.maketrans("-_", "+/")


def too_large(name: str, limits: MediaLimits) -> MediaError:
    return MediaError(
        f"{name}: the data URI is larger than {limits.max_file_bytes:,} bytes (MediaLimits.max_file_bytes)"
    )


def is_bytes(value: Any) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)
