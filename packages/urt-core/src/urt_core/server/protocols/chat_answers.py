"""Completions as OpenAI's clients read them: one JSON document, or server-sent events."""

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fastapi.responses import JSONResponse, Response

from urt_core.engines import Completion, FinishReason, Usage
from urt_core.engines.completion import is_logprob
from urt_core.server.problems import Problem
from urt_core.server.protocols.chat import ChatRequest

FINISH_REASONS = {FinishReason.STOP: "stop", FinishReason.LENGTH: "length", FinishReason.REFUSED: "content_filter"}
# A request without an answer -> status code and OpenAI's name for the kind of error.
FAILURES = {
    FinishReason.BAD_MEDIA: (400, "invalid_request_error"),
    FinishReason.BAD_RECORD: (400, "invalid_request_error"),
    FinishReason.TIMEOUT: (504, "timeout"),
    FinishReason.HTTP_ERROR: (502, "server_error"),
    FinishReason.BUDGET: (429, "insufficient_quota"),
}


def chat_answer(completions: Sequence[Completion], request: ChatRequest, *, model: str) -> Response:
    for completion in completions:
        if completion.finish_reason in FAILURES:
            status, kind = FAILURES[completion.finish_reason]
            param = "messages" if completion.finish_reason is FinishReason.BAD_MEDIA else None
            raise Problem(status, completion.detail, kind=kind, param=param, code=str(completion.finish_reason))
        if request.logprobs and completion.logprobs and not are_sound(completion):
            said = "the judge's engine gave log-probabilities that are none: NaN, above 0, or not one for each token"
            raise Problem(502, said, param="logprobs")
        if request.top_logprobs and completion.text and not completion.top_logprobs:
            # An empty list would be read as "none of these tokens is likely".
            raise Problem(502, "the judge's endpoint returned no top_logprobs", param="top_logprobs")
    completions = [cut_at_stop(completion, request.stop) for completion in completions]
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}
    usage = sum((completion.usage for completion in completions), Usage())
    counted = usage.to_json() | {"total_tokens": usage.prompt_tokens + usage.completion_tokens}
    if request.stream:
        events = stream(completions, head, counted if request.wants_usage else None, with_logprobs=request.logprobs)
        return Response("".join(events), media_type="text/event-stream", headers={"cache-control": "no-cache"})
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": completion.text, "refusal": None},
            "finish_reason": FINISH_REASONS[completion.finish_reason],
            "logprobs": logprobs_of(completion) if request.logprobs else None,
        }
        for index, completion in enumerate(completions)
    ]
    return JSONResponse(head | {"object": "chat.completion", "choices": choices, "usage": counted})


def stream(
    completions: Sequence[Completion], head: dict[str, Any], usage: dict[str, int] | None, *, with_logprobs: bool
) -> Iterator[str]:
    """The events of answers that are already there: role, text and reason of each choice, usage where asked for, the
    end."""

    def event(choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> str:
        chunk = head | {"object": "chat.completion.chunk", "choices": choices} | (more or {})
        return f"data: {json.dumps(chunk)}\n\n"

    # OpenAI sends `usage: null` with each chunk where a last one with the numbers follows.
    more = {} if usage is None else {"usage": None}
    for index, completion in enumerate(completions):
        choice: dict[str, Any] = {"index": index, "logprobs": None, "finish_reason": None}
        yield event([choice | {"delta": {"role": "assistant", "content": ""}}], more)
        if completion.text:
            logprobs = logprobs_of(completion) if with_logprobs else None
            yield event([choice | {"delta": {"content": completion.text}, "logprobs": logprobs}], more)
        yield event([choice | {"delta": {}, "finish_reason": FINISH_REASONS[completion.finish_reason]}], more)
    if usage is not None:
        yield event([], {"usage": usage})
    yield "data: [DONE]\n\n"


def cut_at_stop(completion: Completion, stops: Sequence[str]) -> Completion:
    """The answer up to the first stop text: an engine that knows none wrote on behind it. Tokens that were computed
    stay counted."""
    found = [position for stop in stops if (position := completion.text.find(stop)) >= 0]
    if not found:
        return completion
    end = min(found)
    num_tokens = length = 0
    for text in completion.token_texts:
        if length >= end:
            break
        num_tokens, length = num_tokens + 1, length + len(text)
    return replace(
        completion,
        text=completion.text[:end],
        finish_reason=FinishReason.STOP,
        token_ids=completion.token_ids[:num_tokens],
        logprobs=completion.logprobs[:num_tokens],
        token_texts=completion.token_texts[:num_tokens],
        top_logprobs=completion.top_logprobs[:num_tokens],
    )


def are_sound(completion: Completion) -> bool:
    """Whether its log-probabilities are such, those of each token and those of the likeliest ones at its place."""
    tops = completion.top_logprobs
    return (
        bool(completion.token_logprobs)
        and len(tops) in (0, len(completion.logprobs))
        and all(is_logprob(number) for top in tops for _, number in top)
    )


def logprobs_of(completion: Completion) -> dict[str, Any] | None:
    tokens = completion.token_logprobs
    if not tokens:
        return None
    tops = completion.top_logprobs or ((),) * len(tokens)
    content = [
        token_of(*token) | {"top_logprobs": [token_of(*likely) for likely in top]}
        for token, top in zip(tokens, tops, strict=True)
    ]
    return {"content": content, "refusal": None}


def token_of(text: str, number: float) -> dict[str, Any]:
    # A token whose text is no text (half a character) has its replacement sign; its bytes are not known here.
    return {"token": text, "logprob": min(0.0, max(number, -9999.0)), "bytes": list(text.encode("utf-8", "replace"))}
