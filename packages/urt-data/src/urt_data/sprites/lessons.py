"""What the tiny base model learns before any stage: to see, to say, to hold words against a picture, to look up, to
add.

Lessons use the words of the judgements but none of their shape: no think block, no score, no verdict. They are to the
tiny model what pre-training is to a real one. The last part of the curriculum puts its questions below the instructions
of the dialects, as text that is read and not followed: a real base model has read English before it is asked to judge.
A lesson is drawn from (seed, step, index), so any process draws the same.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from urt_core import Dialect, PreferenceRecord, Task
from urt_core.prompts import Prompt, render
from urt_core.records import Media
from urt_data.sprites.oracle import check, describe, held_against, observations
from urt_data.sprites.pairs import SEMANTIC_CAUSES, View, flaw_of, misread
from urt_data.sprites.questions import Question, ask
from urt_data.sprites.world import Flaw, Scene, Split, sample_scene, split_of

CLIP_SHARE = 0.4
FLAW_SHARE = 0.35
MISREAD_SHARE = 0.6
KINDS = {"describe": 16, "check": 20, "check_both": 22, "answer": 16, "answer_both": 18, "add": 8}
READING_KINDS = {"describe": 8, "check": 8, "read_and_check": 44, "answer": 6, "read_and_answer": 28, "add": 6}
READ_DIALECTS = (Dialect.V1, Dialect.DIRECT)
ONLY_LOOK = "\nOnly look."
SCORES = (2, 3, 4, 5, 7, 8, 9)
SUMS = 4
"""Sums in one lesson: a lesson of a single token would weigh nothing beside a description."""
QUESTIONS = 3
"""Questions about one view, for the same reason: what is learned here is looking one word up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lesson:
    """Lesson(prompt=Prompt(parts=(Media(...), "What does it show?")), completion="one red star, two green fish, clean,
    whole.")"""

    prompt: Prompt
    completion: str


def _view(scene: Scene, rng: random.Random) -> View:
    flaws: set[Flaw] = set()
    for kind in ("temporal" if scene.is_clip else "aesthetic", "authenticity"):
        if rng.random() < FLAW_SHARE:
            flaws.add(flaw_of(kind, rng))
    return View(scene=scene, flaws=frozenset(flaws))


def _asked_and_shown(rng: random.Random) -> tuple[Scene, Scene]:
    """Two scenes of the training split: equal, or apart by one semantic error."""
    while True:
        asked = sample_scene(rng, clip=rng.random() < CLIP_SHARE, split=Split.TRAIN)
        shown = misread(asked, rng.choice(SEMANTIC_CAUSES), rng) if rng.random() < MISREAD_SHARE else asked
        if split_of(shown) is Split.TRAIN:
            return asked, shown


def _describe(rng: random.Random) -> Lesson:
    view = _view(_asked_and_shown(rng)[1], rng)
    return _lesson(view.draw("media", rng), "What does it show?", completion=describe(view))


def _check(rng: random.Random) -> Lesson:
    asked, shown = _asked_and_shown(rng)
    view = _view(shown, rng)
    return _lesson(view.draw("media", rng), f"Check: {asked.caption}", completion=check(view, asked))


def _asked_and_views(rng: random.Random) -> tuple[Scene, list[View]]:
    asked, shown = _asked_and_shown(rng)
    views = [_view(asked, rng), _view(shown, rng)]
    rng.shuffle(views)
    return asked, views


def _check_both(rng: random.Random) -> Lesson:
    asked, views = _asked_and_views(rng)
    noun = (Task.VIDEO_GENERATION if asked.is_clip else Task.IMAGE_GENERATION).noun
    parts: list[str | Media] = []
    for number, (name, view) in enumerate(zip(("first", "second"), views, strict=True), start=1):
        parts += [f"{noun} {number}:", view.draw(name, rng)]
    lines = [f"{noun} {number}, {check(view, asked)}" for number, view in enumerate(views, start=1)]
    return _lesson(*parts, f"Check both: {asked.caption}", completion="\n".join(lines))


def _read_and_check(rng: random.Random) -> Lesson:
    asked, (first, second) = _asked_and_views(rng)
    record = PreferenceRecord(
        key="lesson",
        task=Task.VIDEO_GENERATION if asked.is_clip else Task.IMAGE_GENERATION,
        text=asked.caption,
        first=first.draw("first", rng),
        second=second.draw("second", rng),
        metadata={"truth": {"asked": asked.to_json(), "first": first.to_json(), "second": second.to_json()}},
    )
    return _only_look(record, rng)


def _only_look(record: PreferenceRecord, rng: random.Random) -> Lesson:
    """What the candidates show or say, asked for below the instructions of a dialect."""
    instructions = render(record, rng.choice(READ_DIALECTS))
    return _lesson(*instructions.parts, ONLY_LOOK, completion=f"\n{observations(record)}")


def _unasked(lesson: Lesson) -> Lesson:
    """`lesson` without the request at its end, if it has one: a judging prompt has none."""
    *parts, last = lesson.prompt.parts
    return _lesson(*parts, completion=lesson.completion) if last == ONLY_LOOK else lesson


def _said(question: Question, scene: Scene, rng: random.Random) -> str:
    """A right, a wrong or a vague word."""
    return rng.choice((question.truth, question.wrong(scene, rng), question.vague(rng)))


def _answer(rng: random.Random) -> Lesson:
    view = _view(_asked_and_shown(rng)[1], rng)
    asked, answered = [], [f"{view.scene.left}, {view.scene.right}."]
    for _ in range(QUESTIONS):
        question = ask(view.scene, rng)
        said = _said(question, view.scene, rng)
        asked.append(f"{question.text} {question.say(said)}")
        answered.append(f"The answer is {question.truth}. {held_against(question.truth, said)}")
    return _lesson(view.draw("media", rng), " ".join(asked), completion=" ".join(answered))


def _answer_both(rng: random.Random) -> Lesson:
    view = _view(_asked_and_shown(rng)[1], rng)
    question = ask(view.scene, rng)
    asked, answered = [question.text], [f"{view.scene.left}, {view.scene.right}. The answer is {question.truth}."]
    for number in (1, 2):
        said = _said(question, view.scene, rng)
        asked.append(f"Answer {number}: {question.say(said)}")
        answered.append(f"Answer {number}, {held_against(question.truth, said)}")
    return _lesson(view.draw("media", rng), "\n".join(asked), completion="\n".join(answered))


def _read_and_answer(rng: random.Random) -> Lesson:
    view = _view(_asked_and_shown(rng)[1], rng)
    question = ask(view.scene, rng)
    first, second = (_said(question, view.scene, rng) for _ in range(2))
    truth = {"view": view.to_json(), "about": question.about, "side": question.side, "first": first, "second": second}
    record = PreferenceRecord(
        key="lesson",
        task=Task.VIDEO_UNDERSTANDING if view.scene.is_clip else Task.IMAGE_UNDERSTANDING,
        text=question.text,
        first=question.say(first),
        second=question.say(second),
        media=view.draw("media", rng),
        metadata={"truth": truth},
    )
    return _only_look(record, rng)


def _add(rng: random.Random) -> Lesson:
    rows = [[rng.choice(SCORES) for _ in range(3)] for _ in range(SUMS)]
    sums = "\n".join(f"{'+'.join(map(str, row))}={sum(row)}" for row in rows)
    return _lesson("Add: " + ", ".join("+".join(map(str, row)) for row in rows), completion=sums)


def _lesson(*parts: str | Media, completion: str) -> Lesson:
    return Lesson(prompt=Prompt(parts=parts), completion=completion)


_MAKERS = {
    "describe": _describe,
    "check": _check,
    "check_both": _check_both,
    "answer": _answer,
    "answer_both": _answer_both,
    "read_and_check": _read_and_check,
    "read_and_answer": _read_and_answer,
    "add": _add,
}


class Part(StrEnum):
    """The parts of the curriculum, in their order."""

    SEEING = "seeing"
    """Descriptions alone."""
    COMPARING = "comparing"
    """The whole mixture, each question in few words."""
    READING = "reading"
    """Questions below the instructions of a dialect, ended by the request to look alone."""
    UNASKED = "unasked"
    """The same without the request."""


_KINDS = {
    Part.SEEING: {"describe": 1},
    Part.COMPARING: KINDS,
    Part.READING: READING_KINDS,
    Part.UNASKED: READING_KINDS,
}


def draw_lesson(rng: random.Random, *, part: Part = Part.COMPARING) -> Lesson:
    """One lesson of a part of the curriculum."""
    kinds = _KINDS[part]
    (kind,) = kinds if len(kinds) == 1 else rng.choices(list(kinds), weights=list(kinds.values()))
    lesson = _MAKERS[kind](rng)
    return _unasked(lesson) if part is Part.UNASKED else lesson


class LessonStream:
    """Batches of lessons without end: `num_seeing` batches of descriptions, then the mixture of `part`.

    LessonStream(batch_size=16, num_seeing=500, seed=0, rank=1, world_size=2)    # the second half of each batch of 32
    """

    def __init__(
        self,
        *,
        batch_size: int,
        num_seeing: int,
        seed: int,
        part: Part = Part.COMPARING,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.batch_size, self.num_seeing, self.seed, self.part = batch_size, num_seeing, seed, part
        self.rank, self.world_size = rank, world_size
        self.step = 0

    def __iter__(self) -> Iterator[list[Lesson]]:
        first = self.rank * self.batch_size
        while True:
            places = range(first, first + self.batch_size)
            rngs = (random.Random(f"lessons/{self.seed}/{self.step}/{place}") for place in places)
            part = Part.SEEING if self.step < self.num_seeing else self.part
            lessons = [draw_lesson(rng, part=part) for rng in rngs]
            self.step += 1
            yield lessons

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
