"""A contract of a user's own: asked, parsed, rewarded and recorded under its import path."""

import io

import pytest
from PIL import Image

from urt_core import Dialect, Judgement, ParseFailure, Preference, Scorer, Task, judge_reward, parse_judgement
from urt_core.engines.scripted import ScriptedEngine

CONTRACT = "stars_contract:STARS"
SEEN = "The first shows a car, the second none."


def picture(colour: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(content, "PNG")
    return content.getvalue()


def test_a_judge_is_asked_and_read_by_it(copied) -> None:
    copied("stars_contract")

    def judge(prompt, index):
        assert "one to five stars" in prompt.text
        is_red_first = prompt.media[0].data[0] == picture("red")
        return f"{SEEN}\nImage 1: {'****' if is_red_first else '**'}\nImage 2: {'**' if is_red_first else '****'}"

    scorer = Scorer(engine=ScriptedEngine(script=judge), dialect=CONTRACT)
    found = scorer.compare(task=Task.IMAGE_GENERATION, text="a red car", first=picture("red"), second=picture("blue"))
    assert (found.preference, found.margin, found.position_consistent) == (Preference.FIRST, 2.0, True)
    assert found.scores == {"stars": (4.0, 2.0)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SEEN}\nImage 1: *****\nImage 2: *\n", Preference.FIRST),
        ("Image 1: **\nImage 2: ***", Preference.SECOND),
        ("Image 1: **\nImage 2: **", "tie_not_allowed"),
        ("Image 1: ******\nImage 2: *", "missing_score"),
        ("Image 1: *****\nImage 2: *\nor rather the other way round", "missing_score"),
        ("", "empty"),
    ],
)
def test_what_can_be_read_and_what_not(copied, text: str, expected: Preference | str) -> None:
    copied("stars_contract")
    Scorer(engine=ScriptedEngine(script=[]), dialect=CONTRACT)  # names the contract once; then it is a dialect
    found = parse_judgement(text, task=Task.IMAGE_GENERATION, dialect=Dialect(CONTRACT))
    assert (found.verdict if isinstance(found, Judgement) else found.kind) == expected
    assert isinstance(found, Judgement | ParseFailure)


def test_training_pays_for_its_form(copied) -> None:
    from tests.examples.test_length_reward import RECORD

    copied("stars_contract")
    scorer = Scorer(engine=ScriptedEngine(script=[]), dialect=CONTRACT)
    weights = {"format": 1.0, "accuracy": 1.0}
    earned = [
        judge_reward(text, RECORD, scorer.dialect, weights=weights).parts
        for text in (f"{SEEN}\nImage 1: *****\nImage 2: *", "Image 1: *****\nImage 2: *", "I can't tell.")
    ]
    assert earned == [
        {"format": 1.0, "accuracy": 1.0},
        {"format": 0.0, "accuracy": 1.0},
        {"format": 0.0, "accuracy": 0.0},
    ]
