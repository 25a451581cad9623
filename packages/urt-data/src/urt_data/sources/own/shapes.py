"""Shapes of rows that say by themselves what they are, so that `generic` needs no column names for them.

    conversation    {"prompt" | "conversations" | "messages" | "question" ..., "chosen", "rejected", "images": [one]}     TRL, LLaMA-Factory
    ranking         {"prompt", "generations": [...], "ranking": [1, 2, 4, 3]}      one is the best; or "ratings", "scores": higher is better
    annotations     {"prompt", "img_path", "completions": [{"response", "annotations": {aspect: {"Rating": "5"}}}]}      VLFeedback

`chosen` is better than `rejected`; of N ranked candidates all N (N - 1) / 2 pairs are made, equal ones as ties, with
the group in their metadata. The order of the candidates is drawn, because in such sets the better one often stands
first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from urt_core.records import Preference, Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import Pair, compare
from urt_data.sources.rows import FieldError, Row, as_real

QUESTIONS = ("prompt", "conversations", "messages", "question", "query", "instruction", "text", "caption")
BETTER = (("chosen", "rejected"), ("better", "worse"), ("winner", "loser"), ("preferred", "dispreferred"))
CANDIDATES = ("generations", "completions", "responses", "answers", "candidates", "images", "videos")
RANKS = ("ranking", "ranks", "rank")
MARKS = ("ratings", "scores")
MEDIA = ("images", "image", "videos", "video", "img_path", "image_path", "video_path", "media")
TAG = re.compile(r"\s*<(?:image|video)>\s*")


def has_shape(row: Row) -> bool:
    """Whether a row has one of the shapes."""
    return _better(row) is not None or _candidates(row) is not None


def missing_half(row: Row) -> str | None:
    """The part that is missing where a row has only one of a better and a worse candidate."""
    for one, other in BETTER:
        if (one in row) != (other in row):
            return other if one in row else one
    return None


def shaped_pairs(row: Row, folder: InputFolder, *, task: Task) -> Iterator[Pair]:
    """The pairs of such a row."""
    if (names := _better(row)) is not None:
        yield _conversation(row, folder, task=task, names=names)
        return
    name = _candidates(row)
    assert name is not None
    candidates = row.items(name)
    marks = _marks(row, name, len(candidates))
    contents = [_candidate(value, name, folder, task=task) for value in candidates]
    media = None if task.is_generation else _medium(row, folder, task=task)
    models = row.get("models") if isinstance(row.get("models"), list) else []
    for first, second in combinations(range(len(candidates)), 2):
        yield Pair(
            task=task,
            text=_question(row),
            first=contents[first],
            second=contents[second],
            media=media,
            preference=compare(marks[first], marks[second]),
            scores={"rank": (-marks[first], -marks[second])}
            if _ranks(row)
            else {"score": (marks[first], marks[second])},
            models=(models[first], models[second]) if len(models) == len(candidates) else (None, None),
            winner_first=True,
            notes={"group": str(row.get("id") or f"{row.file}:{row.number}")},
        )


def _better(row: Row) -> tuple[str, str] | None:
    return next((names for names in BETTER if names[0] in row and names[1] in row), None)


def _candidates(row: Row) -> str | None:
    """The column of N candidates, where something says how good each is."""
    for name in CANDIDATES:
        values = row.get(name)
        rated = isinstance(values, list) and any(
            isinstance(value, Mapping) and "annotations" in value for value in values
        )
        if isinstance(values, list) and (rated or _ranks(row) or any(mark in row for mark in MARKS)):
            return name
    return None


def _ranks(row: Row) -> str | None:
    return next((name for name in RANKS if name in row), None)


def _marks(row: Row, name: str, number: int) -> list[float]:
    """Higher is better: ranks count down."""
    if rank := _ranks(row):
        return [-as_real(value, rank) for value in row.items(rank, length=number)]
    if mark := next((mark for mark in MARKS if mark in row), None):
        return [as_real(value, mark) for value in row.items(mark, length=number)]
    return [_mean_rating(value, name) for value in row.items(name)]


def _mean_rating(value: Any, name: str) -> float:
    annotations = value.get("annotations") if isinstance(value, Mapping) else None
    ratings = (
        [aspect.get("Rating") for aspect in annotations.values() if isinstance(aspect, Mapping)]
        if isinstance(annotations, Mapping)
        else []
    )
    if not ratings:
        raise FieldError(name, "has an item without a rating, where others have one")
    return sum(as_real(rating, name) for rating in ratings) / len(ratings)


def _conversation(row: Row, folder: InputFolder, *, task: Task, names: tuple[str, str]) -> Pair:
    chosen, rejected = (row.require(name) for name in names)
    return Pair(
        task=task,
        text=_question(row, implicit=chosen),
        first=_candidate(chosen, names[0], folder, task=task),
        second=_candidate(rejected, names[1], folder, task=task),
        media=None if task.is_generation else _medium(row, folder, task=task),
        preference=Preference.FIRST,
        models=(row.get("chosen_model"), row.get("rejected_model")),
        winner_first=True,
    )


def _candidate(value: Any, name: str, folder: InputFolder, *, task: Task) -> Content | str:
    if task.is_generation:
        return (folder.video if task.is_video else folder.image)(value, name)
    turns = value if isinstance(value, list) else [value]
    text = _text(turns[-1] if turns else None, name)
    if not text:
        raise FieldError(name, "has no text; an answer is needed")
    return text


def _question(row: Row, *, implicit: Any = None) -> str:
    """The text of the one question; a conversation inside `chosen` holds it where there is no column for it."""
    name = next((name for name in QUESTIONS if name in row), None)
    value = row.get(name) if name else implicit[:-1] if isinstance(implicit, list) else None
    name = name or "prompt"
    if isinstance(value, str):
        more = row.get("input") if name == "instruction" else None
        text = f"{value}\n{more}" if isinstance(more, str) and more.strip() else value
    elif isinstance(value, Sequence) and value:
        asked = [turn for turn in value if _role(turn) not in ("system", "assistant", "gpt")]
        if len(asked) != 1 or any(_role(turn) in ("assistant", "gpt") for turn in value):
            raise FieldError(name, f"has {len(value)} turns; a record holds one question, so that these cannot be kept")
        text = "\n\n".join(_text(turn, name) for turn in value)
    else:
        raise FieldError(name, f"is missing or empty; one of {', '.join(QUESTIONS)} holds the question")
    text = TAG.sub(" ", text).strip() if "<image>" in text or "<video>" in text else text.strip()
    if not text:
        raise FieldError(name, "is empty")
    return text


def _role(turn: Any) -> str:
    return str(turn.get("role") or turn.get("from") or "user") if isinstance(turn, Mapping) else "user"


def _text(turn: Any, name: str) -> str:
    """The text of one turn: a string, `value`, `content`, `response`, or a list of parts of which the text counts."""
    if isinstance(turn, Mapping):
        key = next((key for key in ("content", "value", "response", "text") if key in turn), None)
        turn = turn[key] if key else None
    if isinstance(turn, list):
        parts = [
            part if isinstance(part, str) else part.get("text") for part in turn if isinstance(part, str | Mapping)
        ]
        turn = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(turn, str):
        raise FieldError(name, f"has a turn of type {type(turn).__name__}; it must be text, or parts with text")
    return turn


def _medium(row: Row, folder: InputFolder, *, task: Task) -> Content:
    name = next((name for name in MEDIA if name in row), None)
    if name is None:
        raise FieldError("images", f"is missing; one of {', '.join(MEDIA)} holds what the question is about")
    if not task.is_video:
        return folder.image(row.require(name), name)
    value = row.require(name)
    return folder.video(value[0] if isinstance(value, list) and len(value) == 1 else value, name)
