"""Your own pairs from CSV, JSON lines, JSON or Parquet: say which column is what.

    sources.get("generic", task="image_generation", licence="CC0-1.0", label_origin="human",
                columns={"text": "prompt", "first": "image_a", "second": "image_b", "preference": "label"})

A column is named like the part of the record it fills unless `columns` says otherwise:

    text                 the caption or the question
    first, second        files, bytes, or frames (generation); answers (understanding)
    media                what the question is about (understanding)
    source_image         what both candidates are edits of; the text is the instruction (generation)
    preference           who is better; label_column.py says what is understood at once and what is asked about
    votes_first, votes_second, votes_tie       decide where there is no preference column
    score_first, score_second                  the same; the higher one is better
    rank_first, rank_second                    the same; 1 is the best
    first_model, second_model, completion, split        where you have them

Rows of the common shapes of other trainers (chosen and rejected, N-way rankings; shapes.py) need no names at all. A picture in a
column that nothing names has no place in the record: it is an error, unless `ignore` names the column.

With `winner_first=True` there is no preference column: `first` is the better one, and the order is drawn.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from urt_core.errors import ConfigError
from urt_core.records import Preference, Task
from urt_data.sources.folder import Content, InputFolder, looks_like_media
from urt_data.sources.own.label_column import LabelColumn, LabelSettings, Meaning, is_name, spelled
from urt_data.sources.own.shapes import has_shape, missing_half, shaped_pairs
from urt_data.sources.pair import LabelOrigin, Pair, Votes, compare
from urt_data.sources.rows import FieldError, Row, as_real
from urt_data.sources.source import Source

PARTS = (
    *("text", "first", "second", "media", "source_image", "preference", "votes_first", "votes_second", "votes_tie"),
    *("score_first", "score_second", "rank_first", "rank_second", "first_model", "second_model", "completion", "split"),
)
Names = Mapping[str, str]
"""Part of a record -> the column that fills it."""


def generic(
    *,
    task: str = "image_generation",
    columns: Mapping[str, str] | None = None,
    preferences: Mapping[Any, str] | None = None,
    larger: str | None = None,
    middle: float | str | None = None,
    label_is: str | None = None,
    one_sided: bool = False,
    winner_first: bool = False,
    ignore: str | Sequence[str] = (),
    name: str = "generic",
    licence: str = "not stated",
    commercial_ok: bool = False,
    label_origin: str = "human",
    evaluation_only: bool = False,
    repository: str = "own data",
    revision: str = "unpinned",
) -> Source:
    """A source for your own table; state licence and origin.

    `preferences` maps your words to first, second and tie. `larger`, `middle`, `label_is` and `one_sided` say what numbers
    and one-sided columns mean (`LabelSettings`); without them a column that has two readings is a `LabelError`.
    """
    names, labels = generic_settings(
        {
            "columns": columns,
            "preferences": preferences,
            "larger": larger,
            "middle": middle,
            "label_is": label_is,
            "one_sided": one_sided,
        }
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
        fields=None,
        winner_first=winner_first or one_sided,
        evaluation_only=evaluation_only,
        survey=None if winner_first else partial(_survey, names=names, labels=labels),
        survey_fields=tuple(names[part] for part in PARTS if part not in ("media", "completion", "split")),
        pairs=partial(_pairs, task=chosen_task, names=names, ignore=_names(ignore), meaning=None),
    )


def generic_settings(options: Mapping[str, Any]) -> tuple[Names, LabelSettings]:
    """The column of each part, and what is said of the labels."""
    columns = options.get("columns") or {}
    unknown = sorted(set(columns) - set(PARTS))
    if unknown:
        raise ConfigError(f"generic: columns are given for {unknown}; allowed: {', '.join(PARTS)}")
    names = {part: columns.get(part, part) for part in PARTS}
    for part in ("score_first", "score_second", "rank_first", "rank_second"):
        says = {kind for kind in ("score", "rank") if re.search(rf"(?<![a-z]){kind}(?![a-z])", names[part].casefold())}
        if says and part.partition("_")[0] not in says:
            raise ConfigError(
                f"generic: columns.{part} is {names[part]!r}, a {says.pop()} by its name; a higher score and a lower rank are better. "
                f"Give it as columns.{'rank' if part.startswith('score') else 'score'}_{part.partition('_')[2]}, or rename the column"
            )
    larger, middle = options.get("larger"), options.get("middle")
    labels = LabelSettings(
        column=names["preference"],
        words={
            spelled(word)[0] or "": _member(Preference, side, f"preferences[{word!r}]")
            for word, side in (options.get("preferences") or {}).items()
        },
        larger=None if larger is None else _member(Preference, larger, "larger"),
        middle=None if middle is None else as_real(middle, "middle"),
        label_is=options.get("label_is"),
        one_sided=bool(options.get("one_sided")),
        is_crossed=(spelled(names["first"])[0], spelled(names["second"])[0]) == ("2", "1"),
    )
    return names, labels


def _survey(rows: Iterable[Row], *, names: Names, labels: LabelSettings) -> Mapping[str, Any]:
    """Look at every label before one is believed."""
    column = LabelColumn(labels)
    for row in rows:
        if labels.column in row:
            value = row.get(labels.column)
            column.add(value, named=_named(row, value, names), text=row.get(names["text"]), number=row.number)
        elif (side := _decided_otherwise(row, names)) is not None:
            column.add_elsewhere(side)
    return {"meaning": column.meaning()}


def _pairs(
    row: Row, folder: InputFolder, *, task: Task, names: Names, ignore: frozenset[str], meaning: Meaning | None
) -> Iterator[Pair]:
    if names["first"] not in row and names["second"] not in row:
        if has_shape(row):
            yield from shaped_pairs(row, folder, task=task)
            return
        if (missing := missing_half(row)) is not None:
            raise FieldError(missing, "is missing; the row has only the other half of the pair")
    _refuse_other_media(row, names, ignore)
    read = folder.video if task.is_video else folder.image

    def candidate(part: str) -> Content | str:
        return read(row.require(names[part]), names[part]) if task.is_generation else row.text(names[part])

    scores = {part: both for part in ("score", "rank") if (both := _both(row, names, part)) is not None}
    yield Pair(
        task=task,
        text=row.text(names["text"]),
        first=candidate("first"),
        second=candidate("second"),
        media=None if task.is_generation else read(row.require(names["media"]), names["media"]),
        source=read(row.require(names["source_image"]), names["source_image"])
        if names["source_image"] in row
        else None,
        preference=Preference.FIRST if meaning is None else _preference(row, names, meaning),
        completion=row.text(names["completion"]) if names["completion"] in row else None,
        votes=_votes(row, names),
        scores=scores,
        models=(row.get(names["first_model"]), row.get(names["second_model"])),
        split=row.text(names["split"]) if names["split"] in row else None,
    )


def _names(ignore: str | Sequence[str]) -> frozenset[str]:
    return frozenset(ignore.split(",") if isinstance(ignore, str) else ignore)


def _refuse_other_media(row: Row, names: Names, ignore: frozenset[str]) -> None:
    """A picture that no part of the record takes, such as the source of an edit, changes what the pair means."""
    used = {names[part] for part in PARTS}
    shown = [item for name in used for item in _each(row.get(name))]
    for name, value in row.values.items():
        if name not in used and name not in ignore and value not in shown and looks_like_media(value):
            raise FieldError(
                name,
                "holds media for which a record of this task has no place (the source of an edit, a second picture of a question); a pair without them would "
                f"mean something else. Give columns={{source_image: {name}}} if it is what both are edits of, or ignore={name} if it may be left out",
            )


def _each(value: Any) -> list[Any]:
    """A value, and the frames of one that is a list of them."""
    return [value, *value] if isinstance(value, list) else [value]


def _preference(row: Row, names: Names, meaning: Meaning) -> Preference:
    value = row.get(meaning.column)
    if value is None and (side := _decided_otherwise(row, names)) is not None:
        return side
    return meaning.read(value, named=_named(row, value, names))


def _named(row: Row, value: Any, names: Names) -> Preference | None:
    """The side whose column, model, file or answer the label names; None where it is neither's or both's.

    Letter by letter, or else by what both say: `Flux` names `flux`, and `B` names a column `image_b`, wherever it stands.
    """
    if not is_name(value):
        return None
    called = {
        side: [
            name
            for name in (names[part], row.get(names[part]), row.get(names[f"{part}_model"]))
            if isinstance(name, str)
        ]
        for side, part in ((Preference.FIRST, "first"), (Preference.SECOND, "second"))
    }
    exact = [side for side, those in called.items() if value.strip() in those]
    if exact:
        return exact[0] if len(exact) == 1 else None
    alike = [side for side, those in called.items() if spelled(value)[0] in [spelled(name)[0] for name in those]]
    return alike[0] if len(alike) == 1 else None


def _decided_otherwise(row: Row, names: Names) -> Preference | None:
    """Who is better by votes, scores or ranks; None where there are none, or they are no numbers."""
    try:
        if (votes := _votes(row, names)) is not None:
            return votes.preference
        if (scores := _both(row, names, "score")) is not None:
            return compare(*scores)
        if (ranks := _both(row, names, "rank")) is not None:
            return compare(*ranks).swap()
    except FieldError:
        return None
    return None


def _both(row: Row, names: Names, part: str) -> tuple[float, float] | None:
    first, second = names[f"{part}_first"], names[f"{part}_second"]
    if first not in row and second not in row:
        return None
    return row.real(first), row.real(second)


def _votes(row: Row, names: Names) -> Votes | None:
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
    files=("*.csv", "*.tsv", "*.jsonl", "*.json", "*.parquet"),
    fields=None,
    pairs=partial(
        _pairs, task=Task.IMAGE_GENERATION, names={part: part for part in PARTS}, ignore=frozenset(), meaning=None
    ),
)
