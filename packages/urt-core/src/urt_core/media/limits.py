"""What is refused before it is decoded, and the one wall around every decoder."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from urt_core.errors import MediaError, UrtError


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaLimits:
    """What is refused before decoding. Within these limits a medium needs at most 300 MB, and one of 1 MB at most 5 s
    of CPU.

        MediaLimits(max_file_bytes=32 * 2**20, max_image_pixels=2**25, max_frames=2**17)

    2**25 pixels are a photo of 33 megapixels: 134 MB as Pillow stores it. Above 4096 x 4096 it is scaled while it is
    decoded; WebP and progressive JPEG, whose decoders hold the picture several times, end earlier.
    """

    max_file_bytes: int = 32 * 2**20
    max_image_pixels: int = 2**25
    """Of an image; a frame of a video file has at most 4096 x 4096."""
    max_frames: int = 2**17
    """Of one video, as frame files or in a video file; an hour at 30 frames a second. Only the chosen ones are
    decoded."""
    max_decoded_pixels: int = 2**31
    """Pixels of all frames that have to be decoded of one video file; each of its bytes allows 1,024 more."""


def check_size(width: int, height: int, *, name: str, limits: MediaLimits) -> None:
    if width < 1 or height < 1:
        raise MediaError(f"{name}: {width}x{height} pixels, both sides must be at least 1")
    if width * height > limits.max_image_pixels:
        raise MediaError(
            f"{name}: {width}x{height} pixels, allowed are {limits.max_image_pixels:,} (MediaLimits.max_image_pixels); scale it down first"
        )
    if max(width, height) > 200 * min(width, height):
        raise MediaError(f"{name}: {width}x{height}, sides may differ by a factor of 200 at most; crop it first")


def check_bytes(data: bytes, *, name: str, limits: MediaLimits) -> None:
    if not data:
        raise MediaError(f"{name}: the file is empty (0 bytes)")
    if len(data) > limits.max_file_bytes:
        raise MediaError(
            f"{name}: {len(data):,} bytes, allowed are {limits.max_file_bytes:,} (MediaLimits.max_file_bytes)"
        )


@contextmanager
def decoder_wall(name: str, *, kind: str, remedy: str = "") -> Iterator[None]:
    """Whatever a decoder raises on somebody's bytes is a MediaError. Decoders are called inside it and nowhere else.

    A list of exceptions is never whole: a palette picture without its palette is an AssertionError in Pillow, and a
    caller who turns warnings into errors adds them all.
    """
    try:
        yield
    except UrtError:
        raise
    except Exception as error:
        # Pillow's own words for an unknown format hold an address in memory; details of equal files have to be equal.
        words = {"UnidentifiedImageError": "unknown format", "MemoryError": "it needs more memory than it may take"}
        reason = words.get(type(error).__name__) or f"{type(error).__name__}: {str(error)[:200]}"
        raise MediaError(f"{name}: not a readable {kind} ({reason}){remedy}") from error
