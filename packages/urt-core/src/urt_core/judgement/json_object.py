"""A completion that is one JSON object."""

import json
import re
from typing import Any

_FENCE = re.compile(r"```[a-zA-Z]{0,10}\s")
_LONGEST = 1_000_000


def json_object(text: str) -> dict[str, Any] | None:
    """The object that the text, or the one fenced block in it, is; None where it is something else."""
    inside = text.strip()
    if fence := _FENCE.search(inside):
        inside = inside[fence.end() :].partition("```")[0].strip()
    if inside[:1] != "{" or len(inside) > _LONGEST:
        return None
    try:
        value = json.loads(inside)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
