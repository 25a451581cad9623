"""Answers that say no (any status but 200): how they are told to the user, with the setting that helps."""

import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from urt_core.engines import FinishReason, SamplingParams
from urt_core.engines.endpoint.profile import OPTIONAL_FIELDS, Profile
from urt_core.engines.endpoint.transport import Reply
from urt_core.redaction import redacted

# Azure's and OpenAI's words for a prompt that was not answered.
FILTERED = ("content_filter", "ResponsibleAIPolicyViolation")


class Refusal(NamedTuple):
    reason: FinishReason
    detail: str
    text: str
    """The beginning of the body, without secrets."""
    refuses_n: bool = False
    """More than one completion a request is refused, and was asked for."""


def read_refusal(reply: Reply, *, sent: SamplingParams, profile: Profile, base_url: str) -> Refusal:
    text = redacted(reply.content[:2000].decode("utf-8", "replace"))
    if 300 <= reply.status < 400:
        where = redacted(reply.headers.get("Location", "nowhere"))[:200]
        detail = (
            f"HTTP {reply.status}: a redirect to {where} is not followed; if it is meant, give that address as base_url"
        )
        return Refusal(FinishReason.HTTP_ERROR, detail, text)
    if reply.status == 400 and any(word in text for word in FILTERED):
        return Refusal(FinishReason.REFUSED, one_line(text), text)
    field = refused_field(reply, text, profile)
    detail = f"HTTP {reply.status}: {one_line(text)}{remedy(reply.status, field, profile, base_url)}"
    return Refusal(FinishReason.HTTP_ERROR, detail, text, refuses_n=field == "n" and sent.num_completions > 1)


def refused_field(reply: Reply, text: str, profile: Profile) -> str | None:
    """Which of the fields that were sent is refused: the one the error calls `param`, or the first one its text
    names."""
    if reply.status not in (400, 422):
        return None
    names = (profile.max_tokens_name, *OPTIONAL_FIELDS)
    if (param := error_param(reply.content)) in names:
        return param
    for name in names:
        # One letter is a name only in quotes, or where a limit is told for it.
        pattern = rf"['\"`]{name}['\"`]|\b{name}\b(?=\s+(?:must|should|can|may|is|>|greater|larger|above)|\s*[>=])"
        if re.search(pattern if len(name) == 1 else rf"\b{name}\b", text):
            return name
    return None


def error_param(content: bytes) -> Any:
    try:
        error = json.loads(content)["error"]
        return error.get("param")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        return None  # not OpenAI's form of an error


def remedy(status: int, field: str | None, profile: Profile, base_url: str) -> str:
    if field == "max_tokens":
        return " (the profile openai-reasoning, or max_tokens_name='max_completion_tokens', sends the limit under its other name)"
    if field in OPTIONAL_FIELDS and field not in profile.leave_out:
        return f" (leave_out=['{field}'] does not send it; the profiles openai-reasoning, anthropic and gemini leave fields out)"
    if status == 404 and not re.search(r"/v\d", urlsplit(base_url).path):
        return " (does base_url lack its /v1?)"
    return ""


def one_line(text: str) -> str:
    return " ".join(text.split())[:200]
