"""A request's body as bytes -> the model of its route, or a `Problem` of bounded size, in time that its size bounds."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, from_json

from urt_core.server.problems import Problem

M = TypeVar("M", bound=BaseModel)

MAX_VALUES = 200_000
"""Commas and brackets in a body: a picture is one value however large it is, a million small ones are an attack."""
MAX_FIELDS = 64
MAX_SHOWN = 5
ALTERNATIVES = ("str", "constrained-str")
"""What pydantic puts into a place where a field may have one of several types."""


def body_of(model: type[M]) -> Callable[[Request], Awaitable[M]]:
    """A dependency of a route. Parsing is done beside the event loop: 64 MB take a while."""

    async def read(request: Request) -> M:
        return await asyncio.to_thread(parse, model, await request.body())

    return read


def schema_of(model: type[BaseModel]) -> dict[str, Any]:
    """`openapi_extra` of a route whose body is read here and not by the framework."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def parse(model: type[M], body: bytes) -> M:
    num_values = body.count(b",") + body.count(b"[") + body.count(b"{")
    if num_values > MAX_VALUES:
        raise Problem(413, f"the body holds more than {MAX_VALUES:,} values")
    try:
        # Neither NaN nor Infinity is JSON, and the depth is bounded.
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        # Half a surrogate pair is JSON, but no text.
        is_text = "surrogate" not in str(error) and "hex escape" not in str(error)
        raise Problem(400 if is_text else 422, f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise Problem(422, f"the body is a JSON {type(value).__name__}; it must be an object")
    if len(value) > MAX_FIELDS:
        raise Problem(422, f"the body has {len(value):,} fields, allowed are {MAX_FIELDS}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise described(error, status=getattr(model, "refused_with", 422)) from None


def described(error: ValidationError, *, status: int) -> Problem:
    """Where and why, for the first few; never what was sent, which may be long and is known to the sender."""
    errors = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [": ".join(filter(None, (place(one["loc"]), said(one)))) for one in errors[:MAX_SHOWN]]
    more = [f"and {len(errors) - MAX_SHOWN:,} more"] if len(errors) > MAX_SHOWN else []
    return Problem(status, "; ".join([*lines, *more]), param=place(errors[0]["loc"]) or None)


def said(error: ErrorDetails) -> str:
    """Without the words that pydantic puts before those of a check of ours."""
    return error["msg"].removeprefix("Value error, ")[:200]


def place(loc: tuple[int | str, ...]) -> str:
    """("messages", 0, "content", 2, "text") -> "messages.0.content.2.text", in bounded length and without the names of
    alternatives."""
    steps = [str(step)[:60] for step in loc[:8] if step not in ALTERNATIVES and "[" not in str(step)]
    return ".".join(steps)
