"""`Media` -> the RGB frames that a judge sees, and the rule that picks and scales them."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from urt_core.errors import MediaError
from urt_core.media.images import MediaLimits, decode_image
from urt_core.records import Media, MediaKind

VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".gif")


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaPolicy:
    """How large an image is shown and how many frames of a video; part of a judge (`judge.json`).

    Differs from the released UnifiedReward-Think scripts, which send native sizes or 512x512: here the number of pixels is bounded and
    the aspect ratio kept, as Qwen-VL's own `smart_resize` does. Eight frames are theirs.

        MediaPolicy(min_pixels=3136, max_pixels=262144, num_frames=8)
    """

    min_pixels: int = 56 * 56
    max_pixels: int = 512 * 512
    num_frames: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise MediaError(
                f"MediaPolicy: need 1 <= min_pixels <= max_pixels, got {self.min_pixels} and {self.max_pixels}"
            )
        if self.num_frames < 1:
            raise MediaError(f"MediaPolicy: num_frames must be at least 1, got {self.num_frames}")


def load_frames(media: Media, policy: MediaPolicy, *, limits: MediaLimits | None = None) -> list[Image.Image]:
    """The RGB frames of `media`: one for an image, at most `policy.num_frames` for a video, each within the policy's pixels."""
    limits = limits or MediaLimits()
    if media.kind is MediaKind.IMAGE:
        return [fit_pixels(decode_image(encoded(media, 0, limits), name=media.files[0], limits=limits), policy)]
    if is_video_file(media):
        from urt_core.media.video import decode_video

        frames = decode_video(
            encoded(media, 0, limits), num_frames=policy.num_frames, name=media.files[0], limits=limits
        )
        return [fit_pixels(frame, policy) for frame in frames]
    if len(media.files) > limits.max_frames:
        raise MediaError(
            f"video of {len(media.files):,} frame files, allowed are {limits.max_frames:,} (MediaLimits.max_frames)"
        )
    return [
        fit_pixels(decode_image(encoded(media, index, limits), name=media.files[index], limits=limits), policy)
        for index in frame_indices(len(media.files), policy.num_frames)
    ]


def frame_indices(num_available: int, num_frames: int) -> list[int]:
    """Uniformly spaced frames, first and last included; all of them where there are no more than `num_frames`.

    >>> frame_indices(16, 4)
    [0, 5, 10, 15]
    >>> frame_indices(3, 8)
    [0, 1, 2]
    """
    if num_available <= num_frames:
        return list(range(num_available))
    if num_frames == 1:
        return [num_available // 2]
    return [round(position * (num_available - 1) / (num_frames - 1)) for position in range(num_frames)]


def fit_pixels(image: Image.Image, policy: MediaPolicy) -> Image.Image:
    """Scale to within [min_pixels, max_pixels] at (nearly) the same aspect ratio; images already inside are returned as they are."""
    width, height = image.size
    if policy.min_pixels <= width * height <= policy.max_pixels:
        return image
    if width * height > policy.max_pixels:
        scale = math.sqrt(policy.max_pixels / (width * height))
        size = (max(1, math.floor(width * scale)), max(1, math.floor(height * scale)))
    else:
        scale = math.sqrt(policy.min_pixels / (width * height))
        size = (math.ceil(width * scale), math.ceil(height * scale))
    return image.resize(size, Image.Resampling.BICUBIC)


def preprocessing_id(policy: MediaPolicy) -> str:
    """Name of everything that turns files into pixels; results and cache keys carry it."""
    return f"rgb-white-bicubic-{policy.min_pixels}-{policy.max_pixels}-uniform{policy.num_frames}"


def media_digest(media: Media, *, limits: MediaLimits | None = None) -> str:
    """SHA-256 over kind, number of files and every file's length and bytes: two different media never share it."""
    limits = limits or MediaLimits()
    digest = hashlib.sha256(f"{media.kind.value}:{len(media.files)}".encode())
    for index in range(len(media.files)):
        data = encoded(media, index, limits)
        digest.update(f":{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def encoded(media: Media, index: int, limits: MediaLimits) -> bytes:
    """The encoded bytes of one file of `media`: those it carries, or else those on disk."""
    if media.data:
        return media.data[index]
    path = Path(media.files[index])
    try:
        size = path.stat().st_size
        if size > limits.max_file_bytes:
            raise MediaError(
                f"{path.name}: {size:,} bytes, allowed are {limits.max_file_bytes:,} (MediaLimits.max_file_bytes)"
            )
        return path.read_bytes()
    except OSError as error:
        raise MediaError(
            f"{path}: cannot be read ({error.strerror or error}); give an existing file or the bytes (Media.data)"
        ) from error


def is_video_file(media: Media) -> bool:
    return len(media.files) == 1 and media.files[0].lower().endswith(VIDEO_SUFFIXES)
