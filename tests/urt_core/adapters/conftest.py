"""A judge that prefers redder images and longer answers, and fails on shade 13 and the answer "odd"."""

import io

import pytest
from PIL import Image

from urt_core import Completion, Dialect, FinishReason, Preference, Scorer, verdict_text
from urt_core.engines.scripted import ScriptedEngine

FAILED = Completion(text="", finish_reason=FinishReason.TIMEOUT, detail="no answer within 1 s")


def shade_of(media) -> int:
    """The red of the first pixel."""
    return Image.open(io.BytesIO(media.data[0])).tobytes()[0]


def judge(prompt, index):
    """Images are compared by shade, answers by length; a single candidate gets a final score."""
    if not all(data for media in prompt.media for data in media.data):
        return Completion(text="", finish_reason=FinishReason.BAD_MEDIA, detail="no bytes")
    if prompt.task.is_generation:
        values = [shade_of(media) for media in prompt.media]
        failed, noun = 13 in values, prompt.task.noun
    else:
        lines = prompt.text.split("\n")
        answers = [line.split(":", 1)[1].strip() for line in lines if line.startswith("Answer")]
        values, failed, noun = [len(answer) for answer in answers], "odd" in answers, "Answer"
    if failed:
        return FAILED
    if len(values) == 1:  # images are scored from 1 to 5, answers from 0 to 100
        return f"Final Score: {1 + 4 * values[0] / 255 if prompt.task.is_generation else values[0]}"
    if values[0] == values[1]:
        return verdict_text(prompt.task, Preference.TIE, dialect=Dialect.DIRECT)
    return f"{noun} {1 if values[0] > values[1] else 2} is better."


@pytest.fixture(scope="session")
def judging_engine():
    return ScriptedEngine(script=judge)


@pytest.fixture
def scorer():
    return Scorer(engine=ScriptedEngine(script=judge), dialect=Dialect.DIRECT)


@pytest.fixture
def medium():
    return Image.new("RGB", (8, 8), "white")
