"""Judged pairs in, gallery cards out: pictures as data URIs, what the judge wrote, how it was read, right or wrong.

Everything shown comes from records and models, so it is data: strings stay strings here and the template escapes them;
pictures are decoded by `urt_core.media` and encoded anew, so that no byte of a foreign file reaches the page.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from PIL import Image

from urt_core import Dialect, Media, Preference, PreferenceRecord, Task, verdict_text
from urt_core.bench.tables import task_title
from urt_core.comparison import Order
from urt_core.judging.pairs import JudgedPair
from urt_core.media import MediaPolicy, load_frames

THUMBNAILS = MediaPolicy(min_pixels=1, max_pixels=320 * 320, num_frames=8)
JUDGE_TAG = re.compile(r"(</?(?:think|answer)>)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Strip:
    """One image, or the frames of one video, ready for `<img>`: Strip(name="Image 1",
    sources=("data:image/png;base64,...",), small=True)"""

    name: str
    sources: tuple[str, ...]
    small: bool
    """So few pixels that enlarging them should keep them as squares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """What one stage wrote about the pair."""

    stage: str
    outcome: str
    """right, wrong or unreadable."""
    says: str
    """"Image 1 is better", or why it could not be read."""
    pieces: tuple[tuple[bool, str], ...]
    """The text in pieces; True marks the tags, which are shown as such."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Score(dimension="semantic consistency", first=9.0, second=4.0)"""

    dimension: str
    first: float
    second: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    key: str
    task: Task
    task_title: str
    cause: str
    text: str
    """The caption, or the question."""
    strips: tuple[Strip, ...]
    answers: tuple[str, ...]
    noun: str
    label: str
    better: int | None
    """1 or 2: the labelled candidate; None for a tie."""
    outcome: str
    learned: bool
    """Right now, and not right after an earlier stage (the base, which was never taught to judge, counts only if
    alone)."""
    scores: tuple[Score, ...]
    totals: tuple[float, float] | None
    sums: str
    """What the arithmetic check found, in words; empty where no totals are stated."""
    tellings: tuple[Telling, ...]
    """Per stage, the last one first."""


def choose_pairs(judged: Sequence[JudgedPair], *, per_task: int) -> list[JudgedPair]:
    """Up to `per_task` pairs of each task, about half of them wrong or unreadable, every cause in turn; always the same
    ones."""
    chosen: list[JudgedPair] = []
    for task in Task:
        pairs = [
            pair for pair in judged if pair.task is task and pair.order is Order.GIVEN and pair.correct is not None
        ]
        wrong = _cause_by_cause([pair for pair in pairs if not pair.correct])[: round(per_task / 2)]
        right = _cause_by_cause([pair for pair in pairs if pair.correct])[: per_task - len(wrong)]
        chosen += right + wrong
    return chosen


def cards(
    chosen: Sequence[JudgedPair],
    *,
    records: Mapping[str, PreferenceRecord],
    stages: Mapping[str, Sequence[JudgedPair]],
) -> list[Card]:
    """One card per chosen pair; `stages` holds every stage's judgements, in the order of training."""
    by_stage = {
        stage: {(pair.key, pair.dialect, pair.order): pair for pair in judged} for stage, judged in stages.items()
    }
    made = []
    for pair in chosen:
        place = (pair.key, pair.dialect, pair.order)
        history = {stage: found[place] for stage, found in by_stage.items() if place in found}
        made.append(_card(pair, records[pair.key], history))
    return made


def data_uri(image: Image.Image) -> str:
    """PNG where that is small (drawings), else JPEG (photographs)."""
    png = io.BytesIO()
    image.save(png, format="PNG", optimize=True)
    kind, encoded = "png", png.getvalue()
    if len(encoded) > 32_000:
        jpeg = io.BytesIO()
        image.save(jpeg, format="JPEG", quality=82, optimize=True)
        kind, encoded = "jpeg", jpeg.getvalue()
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode('ascii')}"


def outcome_of(pair: JudgedPair) -> str:
    if pair.failure is not None:
        return "unreadable"
    return "right" if pair.correct else "wrong"


def _card(pair: JudgedPair, record: PreferenceRecord, history: Mapping[str, JudgedPair]) -> Card:
    noun, generation = record.task.noun, record.task.is_generation
    shown = [(f"{noun} 1", record.first), (f"{noun} 2", record.second)] if generation else [("", record.media)]
    return Card(
        key=pair.key,
        task=pair.task,
        task_title=task_title(pair.task),
        cause=pair.cause,
        text=record.text,
        strips=tuple(_strip(name, media) for name, media in shown if isinstance(media, Media)),
        answers=() if generation else (str(record.first), str(record.second)),
        noun=noun,
        label=_sentence(record.task, pair.label) if pair.label else "",
        better={Preference.FIRST: 1, Preference.SECOND: 2}.get(pair.label) if pair.label else None,
        outcome=outcome_of(pair),
        learned=bool(pair.correct) and not all(told.correct for told in _taught(list(history.values())[:-1])),
        scores=tuple(
            Score(dimension=name, first=first, second=second) for name, (first, second) in pair.scores.items()
        ),
        totals=pair.totals,
        sums=_sums_in_words(pair),
        tellings=tuple(
            Telling(
                stage=stage,
                outcome=outcome_of(told),
                says=_sentence(record.task, told.verdict)
                if told.verdict
                else f"unreadable: {str(told.failure).replace('_', ' ')}",
                pieces=tuple(
                    (bool(JUDGE_TAG.fullmatch(piece)), piece) for piece in JUDGE_TAG.split(told.text) if piece
                ),
            )
            for stage, told in reversed(list(history.items()))
        ),
    )


def _taught(earlier: Sequence[JudgedPair]) -> Sequence[JudgedPair]:
    return earlier[1:] or earlier


def _strip(name: str, media: Media) -> Strip:
    frames = load_frames(media, THUMBNAILS)
    return Strip(name=name, sources=tuple(map(data_uri, frames)), small=max(frames[0].size) <= 128)


def _sentence(task: Task, preference: Preference) -> str:
    return verdict_text(task, preference, dialect=Dialect.DIRECT).rstrip(".")


def _sums_in_words(pair: JudgedPair) -> str:
    if pair.totals is None:
        return ""
    sums = {True: "sums right", False: "sums wrong", None: "sums not checked"}[pair.sums_consistent]
    follows = {True: "verdict follows the totals", False: "verdict against the totals", None: ""}[
        pair.answer_matches_totals
    ]
    return ", ".join(part for part in (sums, follows) if part)


def _cause_by_cause(pairs: Sequence[JudgedPair]) -> list[JudgedPair]:
    """The first pair of each cause, then the second of each, ...: a gallery of one cause would teach little."""
    causes: dict[str, list[JudgedPair]] = {}
    for pair in pairs:
        causes.setdefault(pair.cause, []).append(pair)
    turns = zip_longest(*(causes[cause] for cause in sorted(causes)))
    return [pair for turn in turns for pair in turn if pair is not None]
