"""Server-sent events, from endpoints that stream though nobody asked: put together into the answer they are the pieces
of."""

import json
from typing import Any

PIECES = ("content", "reasoning", "reasoning_content", "refusal")


def is_stream(content: bytes, content_type: str) -> bool:
    return content_type.lower().startswith("text/event-stream") or content.lstrip()[:6] == b"data: "


def read_stream(content: bytes) -> dict[str, Any]:
    """The events as one chat completion. A choice whose stream ended without a finish reason was cut off: `length`."""
    answer: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in events(content):
        answer |= {name: event[name] for name in ("id", "model", "usage", "error") if event.get(name)}
        pieces = event.get("choices")
        for piece in pieces if isinstance(pieces, list) else ():
            if not isinstance(piece, dict):
                continue
            index = piece.get("index", 0)
            if isinstance(index, int) and 0 <= index < 1024:
                add_piece(choices.setdefault(index, {"message": {}, "finish_reason": "length"}), piece)
    return answer | {"choices": [choices[index] for index in sorted(choices)]}


def add_piece(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    delta = piece.get("delta") or piece.get("message")
    delta = delta if isinstance(delta, dict) else {}
    for name in PIECES:
        if isinstance(delta.get(name), str):
            choice["message"].setdefault(name, []).append(delta[name])
    if piece.get("finish_reason") is not None:
        choice["finish_reason"] = piece["finish_reason"]
    logprobs = piece.get("logprobs")
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    if isinstance(tokens, list):
        choice.setdefault("logprobs", {"content": []})["content"].extend(tokens)


def events(content: bytes) -> list[dict[str, Any]]:
    """The JSON objects behind `data:`; anything else a stream may hold (comments, names, [DONE]) is no part of the
    answer."""
    found = []
    for line in content.decode("utf-8", "replace").splitlines():
        if line.startswith("data:"):
            try:
                value = json.loads(line[5:])
            except (ValueError, RecursionError):
                continue  # [DONE], or the half line of a stream that broke off
            if isinstance(value, dict):
                found.append(value)
    return found
