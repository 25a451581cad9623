"""`Media` -> the RGB frames that a judge sees."""

import hashlib
from pathlib import Path

from PIL import Image

from urt_core.errors import MediaError
from urt_core.media.images import MediaLimits, decode_image
from urt_core.media.sampling import MediaPolicy, fit_pixels, frame_indices
from urt_core.prompts import Prompt
from urt_core.records import Media, MediaKind

PromptFrames = list[list[Image.Image]]
"""One list of RGB frames per medium of a prompt."""
VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".gif")


def load_frames(media: Media, policy: MediaPolicy, *, limits: MediaLimits | None = None) -> list[Image.Image]:
    """The RGB frames of `media`, scaled by the policy: one for an image, at most `policy.num_frames` for a video."""
    limits = limits or MediaLimits()
    if media.kind is MediaKind.VIDEO and is_video_file(media):
        from urt_core.media.video import decode_video

        data = encoded_bytes(media, 0, limits=limits)
        frames = decode_video(data, num_frames=policy.num_frames, name=media.files[0], limits=limits)
        return [fit_pixels(frame, policy) for frame in frames]
    if len(media.files) > limits.max_frames:
        raise MediaError(
            f"video of {len(media.files):,} frame files, allowed are {limits.max_frames:,} (MediaLimits.max_frames)"
        )
    images = []
    for index in frame_indices(len(media.files), policy.num_frames):
        data = encoded_bytes(media, index, limits=limits)
        images.append(fit_pixels(decode_image(data, name=media.files[index], limits=limits), policy))
    return images


def prompt_frames(prompt: Prompt, *, policy: MediaPolicy, limits: MediaLimits | None = None) -> PromptFrames:
    """What every engine shows for `prompt`."""
    return [load_frames(media, policy, limits=limits) for media in prompt.media]


def encoded_bytes(media: Media, index: int, *, limits: MediaLimits) -> bytes:
    """The encoded bytes of one file of `media`: those it carries, or else those on disk."""
    return media.data[index] if media.data else read_file(media.files[index], limits=limits)


def read_file(name: str, *, limits: MediaLimits) -> bytes:
    path = Path(name)
    try:
        size = path.stat().st_size
        if size > limits.max_file_bytes:
            raise MediaError(
                f"{path.name}: {size:,} bytes, allowed are {limits.max_file_bytes:,} (MediaLimits.max_file_bytes)"
            )
        return path.read_bytes()
    except OSError as error:
        raise MediaError(
            f"{path}: cannot be read ({error.strerror or error}); give an existing file, or its bytes (Media.data)"
        ) from error


def media_digest(media: Media, *, limits: MediaLimits | None = None) -> str:
    """SHA-256 over kind, number of files and each file's length and bytes: two different media never share it."""
    limits = limits or MediaLimits()
    digest = hashlib.sha256(f"{media.kind}:{len(media.files)}".encode())
    for index in range(len(media.files)):
        data = encoded_bytes(media, index, limits=limits)
        digest.update(f":{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def is_video_file(media: Media) -> bool:
    return len(media.files) == 1 and media.files[0].lower().endswith(VIDEO_SUFFIXES)
