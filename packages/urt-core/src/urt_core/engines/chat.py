"""The chat-completions wire format of a request: a prompt, its pictures and how it is sampled, as the bytes of a
body."""

import base64
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from urt_core.engines import SamplingParams
from urt_core.engines.endpoint.profile import Profile
from urt_core.errors import ConfigError
from urt_core.media import MediaPolicy, load_frames
from urt_core.prompts import Prompt, Turn
from urt_core.records import Media

JPEG_QUALITY = 95
"""What the released clients of UnifiedReward send."""


def image_format_name(name: str) -> str:
    """`png` (exact), `jpeg` (quality 95, at about a fifth of the size) or `jpeg-85`, any quality from 1 to 100."""
    quality = re.fullmatch(r"jpeg-(\d{1,3})", name) if isinstance(name, str) else None
    if name not in ("png", "jpeg") and not (quality and 1 <= int(quality[1]) <= 100):
        raise ConfigError(
            f"image_format is {name!r}; allowed: 'png', 'jpeg', or 'jpeg-85' with a quality from 1 to 100"
        )
    return name


def data_uri(image: Image.Image, image_format: str) -> str:
    buffer = io.BytesIO()
    if image_format == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        _, _, quality = image_format.partition("-")
        image.save(buffer, "JPEG", quality=int(quality or JPEG_QUALITY), subsampling=0)
    kind = image_format.partition("-")[0]
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def picture_parts(media: Media, *, policy: MediaPolicy, image_format: str) -> tuple[bytes, ...]:
    """A medium as parts of a message, one a frame, in the bytes that are sent."""
    return frame_parts(load_frames(media, policy), image_format=image_format)


def frame_parts(frames: Sequence[Image.Image], *, image_format: str) -> tuple[bytes, ...]:
    """Base64 needs no escapes."""
    uris = [data_uri(frame, image_format) for frame in frames]
    return tuple(b'{"type":"image_url","image_url":{"url":"%s"}}' % uri.encode() for uri in uris)


def request_body(
    prompt: Prompt, pictures: Sequence[Sequence[bytes]], sampling: SamplingParams, *, model: str, profile: Profile
) -> bytes:
    """JSON, put together from parts that are JSON already, so that pictures are copied and never looked at again.

    `pictures` holds the parts of each medium of the prompt. Sampling parameters are always sent, except those that the
    profile leaves out: what is not sent, a server replaces by the model's own defaults.
    """
    fields: dict[str, Any] = {
        "model": model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        profile.max_tokens_name: sampling.max_tokens,
        "n": sampling.num_completions,
        "logprobs": sampling.logprobs,
        "stream": False,
    }
    if sampling.seed is not None:
        fields["seed"] = sampling.seed
    if sampling.top_logprobs:
        fields["top_logprobs"] = sampling.top_logprobs
    if sampling.stop:
        fields["stop"] = list(sampling.stop)
    for name in profile.leave_out:
        fields.pop(name, None)
    fields |= {**sampling.extra, **profile.extra_body}
    remaining = iter(pictures)
    messages = b",".join(message(turn, remaining) for turn in prompt.turns)
    return b'{"messages":[%s],%s' % (messages, json.dumps(fields).encode()[1:])


def message(turn: Turn, pictures: Iterator[Sequence[bytes]]) -> bytes:
    """`pictures`: those of each medium from here on. Only a user's turn is sent in parts, which every endpoint takes
    there."""
    if turn.role != "user" and not any(isinstance(part, Media) for part in turn.parts):
        text = "".join(part for part in turn.parts if isinstance(part, str))
        return json.dumps({"role": turn.role, "content": text}).encode()
    content: list[bytes] = []
    for part in turn.parts:
        if isinstance(part, Media):
            content.extend(next(pictures))
        else:
            content.append(b'{"type":"text","text":%s}' % json.dumps(part).encode())
    return b'{"role":"%s","content":[%s]}' % (turn.role.encode(), b",".join(content))
