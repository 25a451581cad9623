"""Your own pairs from CSV, JSON lines, JSON or Parquet: say which column is what.

    sources.get("generic", task="image_generation", licence="CC0-1.0", label_origin="human",
                columns={"text": "prompt", "first": "image_a", "second": "image_b", "preference": "label"})

A column is named like the part of the record it fills unless `columns` says otherwise:

    text                 the caption or the question
    first, second        files, bytes, or frames (generation); answers (understanding)
    media                what the question is about (understanding)
    preference           first, second or tie; also A, B, 1, 2, left, right, same, or the words in `preferences`
    votes_first, votes_second, votes_tie       decide where there is no preference column
    first_model, second_model, completion, split        where you have them

With `winner_first=True` there is no preference column: `first` is the better one, and the order is drawn.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from urt_core.errors import ConfigError
from urt_core.records import Preference, Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, Votes
from urt_data.sources.rows import FieldError, Row
from urt_data.sources.source import Source

PARTS = (
    *("text", "first", "second", "media", "preference", "votes_first", "votes_second", "votes_tie"),
    *("first_model", "second_model", "completion", "split"),
)
WORDS = {
    **dict.fromkeys(("first", "A", "a", "1", "left"), Preference.FIRST),
    **dict.fromkeys(("second", "B", "b", "2", "right"), Preference.SECOND),
    **dict.fromkeys(("tie", "same", "equal", "both"), Preference.TIE),
}


def generic(
    *,
    task: str = "image_generation",
    columns: Mapping[str, str] | None = None,
    preferences: Mapping[str, str] | None = None,
    winner_first: bool = False,
    name: str = "generic",
    licence: str = "not stated",
    commercial_ok: bool = False,
    label_origin: str = "human",
    evaluation_only: bool = False,
    repository: str = "own data",
    revision: str = "unpinned",
) -> Source:
    """A source for your own table. `preferences` maps your words to first, second and tie; state licence and origin."""
    unknown = sorted(set(columns or {}) - set(PARTS))
    if unknown:
        raise ConfigError(f"generic: columns are given for {unknown}; allowed: {', '.join(PARTS)}")
    names = {part: (columns or {}).get(part, part) for part in PARTS}
    words = (
        {word: _member(Preference, value, f"preferences[{word!r}]") for word, value in preferences.items()}
        if preferences
        else WORDS
    )
    chosen_task = _member(Task, task, "task")
    return replace(
        SOURCE,
        name=name,
        repository=repository,
        revision=revision,
        licence=licence,
        commercial_ok=commercial_ok,
        label_origin=_member(LabelOrigin, label_origin, "label_origin"),
        tasks=(chosen_task,),
        fields=tuple(dict.fromkeys(names.values())),
        winner_first=winner_first,
        evaluation_only=evaluation_only,
        pairs=partial(_pairs, task=chosen_task, names=names, words=words, winner_first=winner_first),
    )


def _pairs(
    row: Row,
    folder: InputFolder,
    *,
    task: Task,
    names: Mapping[str, str],
    words: Mapping[str, Preference],
    winner_first: bool,
) -> Iterator[Pair]:
    votes = _votes(row, names)
    read = folder.video if task.is_video else folder.image

    def candidate(part: str) -> Content | str:
        return read(row.require(names[part]), names[part]) if task.is_generation else row.text(names[part])

    yield Pair(
        task=task,
        text=row.text(names["text"]),
        first=candidate("first"),
        second=candidate("second"),
        media=None if task.is_generation else read(row.require(names["media"]), names["media"]),
        preference=Preference.FIRST if winner_first else _preference(row, names["preference"], words, votes),
        completion=row.text(names["completion"]) if names["completion"] in row else None,
        votes=votes,
        models=(row.get(names["first_model"]), row.get(names["second_model"])),
        split=row.text(names["split"]) if names["split"] in row else None,
    )


def _preference(row: Row, name: str, words: Mapping[str, Preference], votes: Votes | None) -> Preference:
    value = row.get(name)
    if value is None and votes is not None:
        return votes.preference
    # Tables give labels as numbers as often as words.
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or text not in words:
        allowed = ", ".join(repr(word) for word in words)
        raise FieldError(
            name, f"is {value!r}; allowed: {allowed}. Give your own words as `preferences`, or columns of votes"
        )
    return words[text]


def _votes(row: Row, names: Mapping[str, str]) -> Votes | None:
    if names["votes_first"] not in row and names["votes_second"] not in row:
        return None
    tie = row.real(names["votes_tie"]) if names["votes_tie"] in row else 0.0
    return Votes(first=row.real(names["votes_first"]), second=row.real(names["votes_second"]), tie=tie)


def _member(kind: Any, value: str, setting: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise ConfigError(f"generic: {setting} is {value!r}; allowed: {', '.join(kind)}") from None


SOURCE = Source(
    name="generic",
    repository="own data",
    revision="unpinned",
    licence="not stated",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=tuple(Task),
    files=("*.csv", "*.jsonl", "*.json", "*.parquet"),
    fields=PARTS,
    pairs=partial(
        _pairs, task=Task.IMAGE_GENERATION, names={part: part for part in PARTS}, words=WORDS, winner_first=False
    ),
)
