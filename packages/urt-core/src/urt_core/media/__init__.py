"""The only decoder of the project: encoded bytes in, RGB images of a known size out.

    bytes, paths, PIL, arrays --sources.as_media--> Media --load_frames(policy)--> [PIL.Image RGB]

Training, evaluation and serving all call `load_frames`, so a judge sees the same pixels everywhere. Nothing is decoded before its
format, its number of bytes and its number of pixels are known to be allowed; whatever goes wrong is a `MediaError`.
"""

from urt_core.media.frames import PromptFrames, load_frames, media_digest, prompt_frames, with_frames
from urt_core.media.images import decode_image
from urt_core.media.limits import MediaLimits
from urt_core.media.sampling import MediaPolicy, frame_indices, preprocessing_id
from urt_core.media.sources import as_media

__all__ = [
    "MediaLimits",
    "MediaPolicy",
    "PromptFrames",
    "as_media",
    "decode_image",
    "frame_indices",
    "load_frames",
    "media_digest",
    "preprocessing_id",
    "prompt_frames",
    "with_frames",
]
