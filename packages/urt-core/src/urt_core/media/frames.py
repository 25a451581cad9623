"""`Media` -> the RGB frames that a judge sees."""

import hashlib
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from urt_core.errors import MediaError
from urt_core.media.images import decode_image
from urt_core.media.limits import MediaLimits
from urt_core.media.sampling import MediaPolicy, fit_pixels, frame_indices
from urt_core.prompts import Prompt
from urt_core.records import Candidate, Media, MediaKind, PreferenceRecord

PromptFrames = list[list[Image.Image]]
"""One list of RGB frames per medium of a prompt."""
VIDEO_SUFFIXES = (".mp4", ".webm", ".mov", ".mkv", ".avi", ".m4v", ".gif")


def load_frames(media: Media, policy: MediaPolicy, *, limits: MediaLimits | None = None) -> list[Image.Image]:
    """The RGB frames of `media`, scaled by the policy: one for an image, at most `policy.num_frames` for a video."""
    if media.decoded is not None and media.decoded.policy == policy:
        return list(media.decoded.images)
    limits = limits or MediaLimits()
    if media.kind is MediaKind.VIDEO and is_video_file(media):
        from urt_core.media.isolation import decode_apart

        data = encoded_bytes(media, 0, limits=limits)
        return decode_apart(data, policy=policy, name=media.files[0], limits=limits)
    if len(media.files) > limits.max_frames:
        raise MediaError(
            f"video of {len(media.files):,} frame files, allowed are {limits.max_frames:,} (MediaLimits.max_frames)"
        )
    images = []
    for index in frame_indices(len(media.files), policy.num_frames):
        data, name = encoded_bytes(media, index, limits=limits), media.files[index]
        image = decode_image(data, name=name, limits=limits, shown_pixels=policy.max_pixels)
        images.append(fit_pixels(image, policy))
    return images


class Decoded(NamedTuple):
    """Frames that were decoded ahead of time: Decoded(policy=MediaPolicy(), images=(<RGB>,))"""

    policy: MediaPolicy
    images: tuple[Image.Image, ...]


def with_frames(record: PreferenceRecord, policy: MediaPolicy) -> PreferenceRecord:
    """The record with its media decoded and scaled, so that whoever shows it under the same policy decodes nothing.

    A MediaError where one of them can't be.
    """

    def decoded(candidate: Candidate | None) -> Any:
        if not isinstance(candidate, Media):
            return candidate
        return replace(candidate, decoded=Decoded(policy=policy, images=tuple(load_frames(candidate, policy))))

    return replace(record, first=decoded(record.first), second=decoded(record.second), media=decoded(record.media))


def prompt_frames(prompt: Prompt, *, policy: MediaPolicy) -> PromptFrames:
    """What every engine shows for `prompt`."""
    return [load_frames(media, policy) for media in prompt.media]


def encoded_bytes(media: Media, index: int, *, limits: MediaLimits) -> bytes:
    """The encoded bytes of one file of `media`: those it carries, or else those on disk."""
    return media.data[index] if media.data else read_file(media.files[index], limits=limits)


def read_file(name: str, *, limits: MediaLimits) -> bytes:
    """The bytes of a regular file. A device or a pipe would be read without end, whatever its size says."""
    path = Path(name)
    try:
        # Without O_NONBLOCK, opening a pipe waits for somebody who writes into it.
        with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise MediaError(f"{path}: cannot be read (not a regular file); give an existing file, or its bytes")
            size = about.st_size
            data = file.read(limits.max_file_bytes + 1) if size <= limits.max_file_bytes else b""
            if max(size, len(data)) > limits.max_file_bytes:
                raise MediaError(
                    f"{path.name}: {size:,} bytes, allowed are {limits.max_file_bytes:,} (MediaLimits.max_file_bytes)"
                )
            return data
    except (OSError, ValueError) as error:
        if isinstance(error, MediaError):
            raise
        raise MediaError(
            f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); give an existing file, or its bytes (Media.data)"
        ) from error


def media_digest(media: Media) -> str:
    """SHA-256 over kind, number of files and each file's length and bytes: two different media never share it."""
    digest = hashlib.sha256(f"{media.kind}:{len(media.files)}".encode())
    for index in range(len(media.files)):
        data = encoded_bytes(media, index, limits=MediaLimits())
        digest.update(f":{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def is_video_file(media: Media) -> bool:
    return len(media.files) == 1 and media.files[0].lower().endswith(VIDEO_SUFFIXES)
