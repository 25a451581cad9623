"""The chat-completions wire format: prompts as messages, answers as completions."""

import base64
import io
import json
from collections.abc import Sequence
from typing import Any, Literal

from PIL import Image

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.errors import EngineError
from urt_core.media.frames import PromptFrames
from urt_core.prompts import Prompt
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
    content: list[dict[str, Any]] = []
    remaining = iter(image_urls)
    for part in prompt.parts:
        if isinstance(part, Media):
            content.extend({"type": "image_url", "image_url": {"url": url}} for url in next(remaining))
        else:
            content.append({"type": "text", "text": part})
    body = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        max_tokens_name: sampling.max_tokens,
        "n": sampling.num_completions,
        "logprobs": sampling.logprobs,
        "stream": False,
    }
    return body if sampling.seed is None else body | {"seed": sampling.seed}


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
    texts, logprobs = read_logprobs(choice)
    return Completion(
        text=content or "",
        finish_reason=reason,
        usage=usage,
        token_texts=texts,
        logprobs=logprobs,
        detail="stopped by the content filter" if reason is FinishReason.REFUSED else "",
    )


def read_logprobs(choice: dict[str, Any]) -> tuple[tuple[str, ...], tuple[float, ...]]:
    tokens = (choice.get("logprobs") or {}).get("content") or []
    if not all(
        isinstance(token.get("token"), str) and isinstance(token.get("logprob"), int | float) for token in tokens
    ):
        raise MalformedResponse(f"log-probabilities without token or number: {str(tokens)[:200]}")
    return tuple(token["token"] for token in tokens), tuple(float(token["logprob"]) for token in tokens)


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
