"""The chat-completions protocol over the served judge: clients of UnifiedReward and other OpenAI-style programs bring their own prompts.

One user turn of text and images, as the judge was trained on; every sampling parameter that is not sent has the judge's
default (greedy), not OpenAI's.
"""

import asyncio
import time
import uuid
from collections.abc import Sequence
from typing import Any, Literal

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from urt_core.engines import AsyncEngine, Completion, FinishReason, SamplingParams, Usage
from urt_core.errors import MediaError
from urt_core.media import as_media
from urt_core.prompts import Prompt
from urt_core.records import Media, MediaKind
from urt_core.scorer import Scorer
from urt_core.server.requests import MAX_TEXT

FINISH_REASONS = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.REFUSED: "content_filter"}
# A request without an answer -> status code and OpenAI's name for the kind of error.
FAILURES = {
    FinishReason.BAD_MEDIA: (422, "invalid_request_error"),
    FinishReason.TIMEOUT: (504, "timeout"),
    FinishReason.HTTP_ERROR: (502, "server_error"),
    FinishReason.BUDGET: (429, "insufficient_quota"),
}


class ImageUrl(BaseModel):
    url: str


class TextPart(BaseModel):
    type: Literal["text"]
    text: str = Field(max_length=MAX_TEXT)


class ImagePart(BaseModel):
    type: Literal["image_url"]
    image_url: ImageUrl


class UserMessage(BaseModel):
    role: Literal["user"]
    content: str | list[TextPart | ImagePart]


class ChatRequest(BaseModel):
    """Fields of the protocol that are not here (stop, penalties, tools) are ignored."""

    model_config = ConfigDict(extra="ignore")

    messages: list[UserMessage] = Field(min_length=1, max_length=1)
    temperature: float = Field(default=0.0, ge=0, le=10)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1, le=32768)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=32768)
    n: int = Field(default=1, ge=1, le=32)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    logprobs: bool = False
    stream: Literal[False] = False

    def sampling(self, *, max_tokens: int) -> SamplingParams:
        """`max_tokens` where the client sends none."""
        return SamplingParams(
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_completion_tokens or self.max_tokens or max_tokens,
            seed=self.seed,
            num_completions=self.n,
            logprobs=self.logprobs,
        )


async def chat_completion(scorer: Scorer, request: ChatRequest) -> JSONResponse:
    try:
        prompt = await asyncio.to_thread(chat_prompt, scorer, request.messages[0])
    except MediaError as error:
        return failure(FinishReason.BAD_MEDIA, str(error))
    assert isinstance(scorer.engine, AsyncEngine)
    sampling = request.sampling(max_tokens=scorer.sampling.max_tokens)
    [completions] = await scorer.engine.agenerate([prompt], sampling)
    for completion in completions:
        if completion.finish_reason in FAILURES:
            return failure(completion.finish_reason, completion.detail)
    return JSONResponse(chat_answer(completions, model=served_model(scorer)))


def served_model(scorer: Scorer) -> str:
    """The name that clients know: the engine's own identity may hold more than it."""
    return getattr(scorer.engine, "served_model", scorer.engine.model)


def chat_prompt(scorer: Scorer, message: UserMessage) -> Prompt:
    if isinstance(message.content, str):
        return Prompt(parts=(message.content,))
    parts: list[str | Media] = []
    for part in message.content:
        if isinstance(part, TextPart):
            parts.append(part.text)
        else:
            url, name = part.image_url.url, f"image{len(parts)}"
            parts.append(
                as_media(url, kind=MediaKind.IMAGE, name=name, download=scorer.download, allow_paths=scorer.allow_paths)
            )
    return Prompt(parts=tuple(part for part in parts if part))


def chat_answer(completions: Sequence[Completion], *, model: str) -> dict[str, Any]:
    usage = sum((completion.usage for completion in completions), Usage())
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": completion.text},
            "finish_reason": FINISH_REASONS[completion.finish_reason],
            "logprobs": chat_logprobs(completion),
        }
        for index, completion in enumerate(completions)
    ]
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": usage.to_json() | {"total_tokens": usage.prompt_tokens + usage.completion_tokens},
    }


def chat_logprobs(completion: Completion) -> dict[str, Any] | None:
    if not completion.logprobs:
        return None
    tokens = zip(completion.token_texts, completion.logprobs, strict=True)
    return {"content": [{"token": text, "logprob": logprob, "top_logprobs": []} for text, logprob in tokens]}


def failure(reason: FinishReason, detail: str) -> JSONResponse:
    code, kind = FAILURES[reason]
    return JSONResponse({"error": {"message": detail, "type": kind, "code": str(reason)}}, status_code=code)
