"""What determines an answer, as a hash: the judge, everything its prompt shows, and how it is sampled."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from urt_core.comparison import Order
from urt_core.engines import SamplingParams
from urt_core.errors import MediaError
from urt_core.media import media_digest
from urt_core.prompts import Prompt
from urt_core.records import Media


def prompt_digest(prompt: Prompt) -> str:
    """SHA-256 over roles, text and media bytes of all turns in their order; a medium that can't be read counts with its
    name.

    >>> prompt_digest(Prompt(parts=("Which is better?",)))[:8]
    '0246281e'
    """
    # A prompt of one turn is named by its parts alone, so that turns before it are all that is told of them.
    shown: list[Any] = [{"role": turn.role, "parts": _shown(turn.parts)} for turn in prompt.before]
    return hashlib.sha256(json.dumps(shown + _shown(prompt.parts), ensure_ascii=True).encode()).hexdigest()


def _shown(parts: Sequence[str | Media]) -> list[Any]:
    return [part if isinstance(part, str) else {"media": _digest(part)} for part in parts]


def question_id(
    model: str,
    preprocessing: str,
    prompt_sha256: str,
    sampling: SamplingParams,
    *,
    order: Order,
    vote_index: int,
    key: str,
) -> str:
    """Two questions share an id only if everything that can change the answer is equal, and the pair they are about."""
    asked = {name: getattr(sampling, name) for name in SamplingParams.__dataclass_fields__}
    identity = [model, preprocessing, prompt_sha256, asked, str(order), vote_index, key]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _digest(medium: Media) -> str:
    try:
        return media_digest(medium)
    except MediaError:
        return f"unreadable {medium.files}"
