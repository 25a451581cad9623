"""Lessons teach words, never the shape of a judgement."""

import itertools
import re

import pytest

from urt_core import ParseFailure, Task, parse_judgement
from urt_data.sprites import LessonStream
from urt_data.sprites.lessons import Part


def lessons(stream: LessonStream, number: int) -> list:
    return [lesson for batch in itertools.islice(stream, number) for lesson in batch]


@pytest.mark.parametrize("part", Part)
def test_no_lesson_holds_a_verdict_or_a_score(part):
    for lesson in lessons(LessonStream(batch_size=32, num_seeing=0, seed=0, part=part), 6):
        assert "<answer>" not in lesson.completion
        assert "/10" not in lesson.completion
        assert all(isinstance(parse_judgement(lesson.completion, task=task), ParseFailure) for task in Task)


def test_the_curriculum_begins_with_descriptions():
    batches = list(itertools.islice(LessonStream(batch_size=16, num_seeing=2, seed=0), 3))
    assert {lesson.prompt.text for batch in batches[:2] for lesson in batch} == {"What does it show?"}
    assert len({lesson.prompt.text for lesson in batches[2]}) > 8


def test_a_resumed_stream_goes_on_with_the_same_lessons():
    straight = list(itertools.islice(LessonStream(batch_size=4, num_seeing=1, seed=5), 4))
    stream = LessonStream(batch_size=4, num_seeing=1, seed=5)
    for _ in range(2):
        next(iter(stream))
    resumed = LessonStream(batch_size=4, num_seeing=1, seed=5)
    resumed.load_state_dict(stream.state_dict())
    assert list(itertools.islice(resumed, 2)) == straight[2:]


def test_sums_are_right():
    num_sums = 0
    for lesson in lessons(LessonStream(batch_size=64, num_seeing=0, seed=1), 4):
        asked, answers = lesson.prompt.text, lesson.completion.splitlines()
        if asked.startswith("Add: "):
            rows = asked.removeprefix("Add: ").split(", ")
            assert answers == [f"{row}={sum(map(int, row.split('+')))}" for row in rows]
            num_sums += len(rows)
    assert num_sums > 40


def test_two_ranks_draw_what_one_process_draws():
    whole = next(iter(LessonStream(batch_size=6, num_seeing=0, seed=3)))
    halves = [next(iter(LessonStream(batch_size=3, num_seeing=0, seed=3, rank=rank, world_size=2))) for rank in (0, 1)]
    assert halves[0] + halves[1] == whole


def test_reading_lessons_ask_to_look_below_instructions_that_are_not_followed():
    drawn = lessons(LessonStream(batch_size=32, num_seeing=0, seed=0, part=Part.READING), 3)
    below = [lesson for lesson in drawn if lesson.prompt.text.endswith("\nOnly look.")]
    assert len(below) > len(drawn) / 2
    assert {"<think>" in lesson.prompt.text for lesson in below} == {True, False}  # a chain of thought, a direct answer
    for lesson in below:
        marks = re.findall(r"\((ok|wrong|vague)\)", lesson.completion)
        assert marks, lesson.completion
        assert "better" not in lesson.completion
        for said, mark in zip(re.findall(r"(?:said|shown): (\w+/\w+) \(", lesson.completion), marks, strict=False):
            first, second = said.split("/")
            assert (first == second) == (mark == "ok")
