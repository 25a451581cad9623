"""Which frames of a video are shown, and how large."""

import math
from dataclasses import dataclass

from PIL import Image

from urt_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaPolicy:
    """How large an image is shown and how many frames of a video; part of a judge (`judge.json`).

    Differs from the released UnifiedReward-Think scripts, which send native sizes or 512x512: here the number of pixels
    is bounded and the aspect ratio kept, as Qwen-VL's own `smart_resize` does. Eight frames are theirs.

        MediaPolicy(min_pixels=3136, max_pixels=262144, num_frames=8)
    """

    min_pixels: int = 56 * 56
    max_pixels: int = 512 * 512
    num_frames: int = 8

    def __post_init__(self) -> None:
        if not 1 <= self.min_pixels <= self.max_pixels:
            raise ConfigError(
                f"pixels are {self.min_pixels} to {self.max_pixels}; MediaPolicy needs 1 <= min_pixels <= max_pixels"
            )
        if self.num_frames < 1:
            raise ConfigError(f"MediaPolicy.num_frames is {self.num_frames}; it must be at least 1")


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
    """Scale into [min_pixels, max_pixels] at (nearly) the same aspect ratio; images already inside stay as they are."""
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
