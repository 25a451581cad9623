"""Answers of an endpoint, read as data: every field is checked before it is used, and each answer ends in one way.

An answer is completions, or an `UnreadableAnswer`. Whichever it is, the tokens it says it cost are told: it was paid
for. Nothing is guessed about fields that nobody asked for, whatever they hold.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from urt_core.engines import Completion, FinishReason, SamplingParams, Usage
from urt_core.engines.completion import is_logprob
from urt_core.engines.endpoint.profile import ANY_MODEL
from urt_core.engines.endpoint.reasoning import join_reasoning
from urt_core.engines.endpoint.stream import is_stream, read_stream
from urt_core.errors import EngineError
from urt_core.redaction import redacted, without_kept_secrets

STOP, LENGTH, REFUSED = FinishReason.STOP, FinishReason.LENGTH, FinishReason.REFUSED
# In lower case. Names of OpenAI, vLLM, Anthropic, Gemini, Mistral and text-generation-inference.
FINISH_REASONS = {
    **dict.fromkeys(("stop", "eos", "eos_token", "end_turn", "stop_sequence"), STOP),
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"), LENGTH),
    **dict.fromkeys(
        ("content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content", "spii"), REFUSED
    ),
}  # fmt: skip
# The server gave up, not the model: it may not do so again.
INTERRUPTED = ("abort", "error", "insufficient_system_resource")
MAX_TOKENS_COUNTED = 10**9
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableAnswer(EngineError):
    """Status 200 and no completion in it."""

    def __init__(self, message: str, *, usage: Usage = Usage(), is_retried: bool = False) -> None:  # noqa: B008 (frozen)
        super().__init__(message)
        self.usage = usage
        """What the answer says it cost."""
        self.is_retried = is_retried
        """Whether another attempt may fare better: proxies answer so while they restart. A wrong shape stays wrong."""


Tokens = tuple[tuple[str, float], ...]
"""Text and log-probability of each."""


def read_answer(
    content: bytes,
    *,
    content_type: str = "",
    sampling: SamplingParams,
    asked_model: str,
    accepted_models: Sequence[str],
) -> list[Completion]:
    """The completions of a body with status 200, its usage on the first; at most as many as were asked for."""
    value = read_stream(content) if is_stream(content, content_type) else parse_json(content)
    usage = read_usage(value, length=len(content))
    if value.get("error"):
        raise UnreadableAnswer(f"an error with status 200: {excerpt(content)}", usage=usage, is_retried=True)
    check_model(value.get("model"), asked=asked_model, accepted=accepted_models, usage=usage)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise UnreadableAnswer(f"no choices: {excerpt(content)}", usage=usage, is_retried=True)
    try:
        completions = [read_choice(choice, sampling) for choice in choices[: sampling.num_completions]]
    except UnreadableAnswer as error:
        error.usage = usage
        raise
    return [replace(completions[0], usage=usage), *completions[1:]]


def parse_json(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:100]
        raise UnreadableAnswer(f"not JSON ({reason}): {excerpt(content)}", is_retried=True) from error
    if not isinstance(value, dict):
        raise UnreadableAnswer(f"JSON, but no object: {excerpt(content)}", is_retried=True)
    return value


def read_choice(choice: Any, sampling: SamplingParams) -> Completion:
    if not isinstance(choice, dict):
        raise UnreadableAnswer(f"a choice is {named(choice)}, not an object", is_retried=True)
    said, message = choice.get("finish_reason"), choice.get("message")
    reason = FINISH_REASONS.get(said.lower()) if isinstance(said, str) else STOP if said is None else None
    if isinstance(said, str) and said.lower() in INTERRUPTED:
        raise UnreadableAnswer(f"the server gave up (finish_reason {said!r})", is_retried=True)
    if reason is None:
        raise UnreadableAnswer(f"the answer ended with finish_reason {named(said)}, which is no end of a text")
    if reason is REFUSED:
        return Completion(text="", finish_reason=REFUSED, detail="stopped by the content filter")
    if not isinstance(message, dict):
        raise UnreadableAnswer(f"a choice without message ({named(message)})", is_retried=True)
    if refusal := message.get("refusal"):
        return Completion(text="", finish_reason=REFUSED, detail=redacted(safe_text(text_of(refusal, "refusal"))[:200]))
    content = text_of(message.get("content"), "content")
    field = "reasoning" if message.get("reasoning") else "reasoning_content"
    text, detail = join_reasoning(text_of(message.get(field), field), content, field=field)
    tokens, tops = read_logprobs(choice.get("logprobs"), sampling)
    return Completion(
        text=safe_text(text),
        finish_reason=reason,
        token_texts=tuple(token for token, _ in tokens),
        logprobs=tuple(logprob for _, logprob in tokens),
        top_logprobs=tops,
        detail=detail,
    )


def text_of(value: Any, name: str) -> str:
    """A string, or the texts of a list of parts; nothing is the empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [part.get("text") or "" if isinstance(part, dict) else part for part in value]
        if all(isinstance(text, str) for text in texts):
            return "".join(texts)
    raise UnreadableAnswer(f"{name} is {named(value)}; it must be a text or a list of parts with texts")


def read_logprobs(value: Any, sampling: SamplingParams) -> tuple[Tokens, tuple[Tokens, ...]]:
    """Finite numbers of at most 0, one a token, and the likeliest tokens of each place, as far as they were asked for;
    nothing where the endpoint gave none."""
    tokens = token_list(value, "content") if value is not None and sampling.logprobs else []
    asked = tokens if sampling.top_logprobs else []
    tops = tuple(tuple(map(read_token, token_list(token, "top_logprobs"))) for token in asked)
    return tuple(map(read_token, tokens)), tops if any(tops) else ()


def token_list(value: Any, name: str) -> list[Any]:
    tokens = value.get(name) if isinstance(value, dict) else value
    if tokens is None:
        return []
    if not isinstance(tokens, list) or not isinstance(value, dict):
        raise UnreadableAnswer(f"{name} of logprobs is {named(tokens)}; it must be a list of tokens in an object")
    return tokens


def read_token(token: Any) -> tuple[str, float]:
    text, logprob = (token.get("token"), token.get("logprob")) if isinstance(token, dict) else (None, None)
    if not isinstance(text, str):
        raise UnreadableAnswer(f"a token of logprobs is {named(token)}; it must be an object with token and logprob")
    # A whole number beyond any float is compared exactly.
    if not is_logprob(logprob) or logprob < -1e30:
        raise UnreadableAnswer(f"the log-probability of a token is {named(logprob)}; it must be finite and at most 0")
    return safe_text(text), min(0.0, float(logprob))


def read_usage(value: dict[str, Any], *, length: int) -> Usage:
    usage = value.get("usage")
    if isinstance(usage, dict):
        counts = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
        prompt, completion = [
            count if type(count) is int and 0 <= count <= MAX_TOKENS_COUNTED else -1 for count in counts
        ]
        if min(prompt, completion) >= 0:
            return Usage(prompt_tokens=prompt, completion_tokens=completion)
    # Some gateways leave it out. Four characters a token keeps a budget meaningful.
    return Usage(completion_tokens=length // 4) if value.get("choices") else Usage()


def check_model(answered: Any, *, asked: str, accepted: Sequence[str], usage: Usage) -> None:
    """Some endpoints do not say who answered; that passes."""
    if answered is None or answered == "" or ANY_MODEL in accepted:
        return
    if not any(is_same_model(answered, name) for name in (asked, *accepted)):
        raise UnreadableAnswer(
            f"answered by model {named(answered)}, asked was {asked!r}; if that is the same judge, say so with a profile or accepted_models",
            usage=usage,
        )


def is_same_model(answered: Any, asked: str) -> bool:
    """Dated snapshots (`name-2026-01-01`), tags (`name:latest`) and names without their organisation are the same
    model."""
    if not isinstance(answered, str):
        return False
    answered, asked = (name.lower().rstrip("/").split("/")[-1] for name in (answered, asked))
    return answered == asked or answered.startswith(f"{asked}-20") or untagged(answered) == untagged(asked)


def untagged(name: str) -> str:
    """
    >>> untagged("qwen2.5vl:latest"), untagged("qwen3-vl-8b:free"), untagged("qwen2.5vl:7b")
    ('qwen2.5vl', 'qwen3-vl-8b', 'qwen2.5vl:7b')
    """
    name, _, tag = name.partition(":")
    return name if tag in ("", "latest", "free") else f"{name}:{tag}"


def safe_text(text: str) -> str:
    """Without lone surrogates, which no file and no other program takes, and without the keys of this process."""
    text = without_kept_secrets(text)
    return text if text.isascii() else _SURROGATE.sub("�", text)


def named(value: Any) -> str:
    """For a message: a plain value as it is, anything else by its kind; whatever came in, the message is short."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value) if abs(value) < 10**15 else "a whole number of more than 15 digits"
    if isinstance(value, str):
        return ascii(redacted(value[:100]))[:104]
    return {dict: "an object", list: "a list"}.get(type(value), type(value).__name__)


def excerpt(content: bytes) -> str:
    return " ".join(redacted(content[:1000].decode("utf-8", "replace"))[:200].split())
