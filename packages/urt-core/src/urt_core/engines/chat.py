"""The chat-completions wire format: prompts as messages, answers as completions."""

import base64
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from PIL import Image

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.errors import EngineError
from urt_core.media.frames import PromptFrames
from urt_core.prompts import Prompt, Turn
from urt_core.records import Media

ImageFormat = Literal["png", "jpeg"]
FINISH_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.REFUSED,
}


class MalformedResponse(EngineError):
    """An answer with status 200 that is not a chat completion. Worth another attempt: proxies do this while restarting."""


def request_body(
    prompt: Prompt, image_urls: Sequence[Sequence[str]], sampling: SamplingParams, *, model: str, max_tokens_name: str
) -> dict[str, Any]:
    """All sampling parameters are always sent: what is left out, a server replaces by the model's own defaults."""
    remaining = iter(image_urls)
    body: dict[str, Any] = {
        "model": model,
        "messages": [message(turn, remaining) for turn in prompt.turns],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        max_tokens_name: sampling.max_tokens,
        "n": sampling.num_completions,
        "logprobs": sampling.logprobs,
        "stream": False,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed
    if sampling.top_logprobs:
        body["top_logprobs"] = sampling.top_logprobs
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    return body | dict(sampling.extra)


def message(turn: Turn, image_urls: Iterator[Sequence[str]]) -> dict[str, Any]:
    """`image_urls`: those of each medium from here on. Only a user's turn is sent in parts, which every endpoint takes there."""
    if turn.role != "user" and not any(isinstance(part, Media) for part in turn.parts):
        return {"role": turn.role, "content": "".join(part for part in turn.parts if isinstance(part, str))}
    content: list[dict[str, Any]] = []
    for part in turn.parts:
        if isinstance(part, Media):
            content.extend({"type": "image_url", "image_url": {"url": url}} for url in next(image_urls))
        else:
            content.append({"type": "text", "text": part})
    return {"role": turn.role, "content": content}


def image_urls(frames: PromptFrames, *, image_format: ImageFormat) -> list[list[str]]:
    """Data URIs. PNG is exact; JPEG at quality 95 is what the released clients send, at about a fifth of the size."""
    return [[data_uri(image, image_format) for image in images] for images in frames]


def data_uri(image: Image.Image, image_format: ImageFormat) -> str:
    buffer = io.BytesIO()
    if image_format == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, "JPEG", quality=95, subsampling=0)
    return f"data:image/{image_format};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def read_response(text: bytes, *, accepted_models: Sequence[str]) -> list[Completion]:
    """The completions of an answer, its usage on the first; `MalformedResponse` where it is none."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise MalformedResponse(f"not JSON ({error}): {excerpt(text)}") from error
    if not isinstance(value, dict):
        raise MalformedResponse(f"JSON, but no object: {excerpt(text)}")
    if value.get("error"):
        raise MalformedResponse(f"an error with status 200: {excerpt(text)}")
    model = value.get("model")
    if accepted_models and not any(is_same_model(model, accepted) for accepted in accepted_models):
        wrong = f"answered by model {model!r}, asked was {accepted_models[0]!r} (OpenAIEngine.accepted_models)"
        return [Completion(text="", finish_reason=FinishReason.HTTP_ERROR, detail=wrong, usage=read_usage(value))]
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise MalformedResponse(f"no choices: {excerpt(text)}")
    usage = read_usage(value)
    return [read_choice(choice, usage if index == 0 else Usage()) for index, choice in enumerate(choices)]


def read_choice(choice: Any, usage: Usage) -> Completion:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise MalformedResponse(f"a choice without message: {excerpt(json.dumps(choice).encode())}")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    if message.get("refusal"):
        return Completion(
            text="", finish_reason=FinishReason.REFUSED, detail=str(message["refusal"])[:200], usage=usage
        )
    reason = FINISH_REASONS.get(str(choice.get("finish_reason")))
    if reason is None or not isinstance(content, str | None):
        raise MalformedResponse(f"a choice that did not finish: {excerpt(json.dumps(choice).encode())}")
    texts, logprobs, top = read_logprobs(choice)
    return Completion(
        text=content or "",
        finish_reason=reason,
        usage=usage,
        token_texts=texts,
        logprobs=logprobs,
        top_logprobs=top,
        detail="stopped by the content filter" if reason is FinishReason.REFUSED else "",
    )


Tops = tuple[tuple[tuple[str, float], ...], ...]


def read_logprobs(choice: dict[str, Any]) -> tuple[tuple[str, ...], tuple[float, ...], Tops]:
    """Texts, log-probabilities and likeliest tokens of the positions; a number that is no log-probability is refused."""
    tokens = read_tokens((choice.get("logprobs") or {}), "content")
    texts, logprobs = zip(*map(read_token, tokens), strict=True) if tokens else ((), ())
    tops = tuple(tuple(map(read_token, read_tokens(token, "top_logprobs"))) for token in tokens)
    return texts, logprobs, tops if any(tops) else ()


def read_tokens(value: Any, name: str) -> list[Any]:
    tokens = value.get(name) or [] if isinstance(value, dict) else None
    if not isinstance(tokens, list):
        raise MalformedResponse(f"log-probabilities that are no list under {name!r}: {str(value)[:200]}")
    return tokens


def read_token(token: Any) -> tuple[str, float]:
    text, number = (token.get("token"), token.get("logprob")) if isinstance(token, dict) else (None, None)
    # Written so that NaN fails it too; a whole number of 400 digits is compared exactly and is too small.
    if not isinstance(text, str) or isinstance(number, bool) or not isinstance(number, int | float):
        raise MalformedResponse(f"log-probabilities without token or number: {str(token)[:200]}")
    if not -1e30 <= number <= 1e-4:
        raise MalformedResponse(f"a log-probability of {str(number)[:40]}; it must be finite and at most 0")
    return text, min(0.0, float(number))


def read_usage(value: dict[str, Any]) -> Usage:
    usage = value.get("usage")
    if isinstance(usage, dict):
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if isinstance(prompt, int) and isinstance(completion, int) and min(prompt, completion) >= 0:
            return Usage(prompt_tokens=prompt, completion_tokens=completion)
    # Some gateways leave it out. Four characters a token keeps a budget meaningful.
    return Usage(completion_tokens=len(json.dumps(value.get("choices"))) // 4)


def is_same_model(answered: Any, asked: str) -> bool:
    """Dated snapshots (`name-2026-01-01`) and names with or without their organisation are the same model."""
    if not isinstance(answered, str):
        return False
    answered, asked = answered.lower().rstrip("/"), asked.lower().rstrip("/")
    return answered == asked or answered.startswith(f"{asked}-20") or answered.split("/")[-1] == asked.split("/")[-1]


def excerpt(text: bytes) -> str:
    return " ".join(text[:200].decode("utf-8", "replace").split())
