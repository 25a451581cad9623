"""UnifiedReward-Edit's sentence: alone, in the last line, or in answer tags."""

import pytest

from urt_core import Judgement, ParseFailure, Preference, Task
from urt_core.judgement import FailureKind
from urt_core.judgement.edit import parse_edit

TASK = Task.IMAGE_GENERATION


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Edited image 1 is better", Preference.FIRST),
        ("edited  IMAGE 2 is better.", Preference.SECOND),
        ("Edited image 2 is better than Edited image 1.", Preference.SECOND),
        ("The sky is as asked.\nEdited image 1 is better", Preference.FIRST),
        ("<think>sky</think><answer>Edited image 2 is better</answer>", Preference.SECOND),
    ],
)
def test_a_verdict_is_read(text: str, verdict: Preference) -> None:
    found = parse_edit(text, TASK)
    assert isinstance(found, Judgement)
    assert (found.verdict, found.scores) == (verdict, {})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (" \n", FailureKind.EMPTY),
        ("Image 1 is better", FailureKind.NO_ANSWER),
        ("Edited image 3 is better", FailureKind.NO_ANSWER),
        ("Edited image 1 is better than edited image 1", FailureKind.NO_ANSWER),
        ("Edited image 1 is better, I think", FailureKind.NO_ANSWER),
        ("At first edited image 2 is better.\nEdited image 1 is better", FailureKind.CONFLICTING_ANSWERS),
        ("<answer>Both are fine</answer>", FailureKind.UNREADABLE_ANSWER),
        (
            "<answer>Edited image 1 is better</answer><answer>Edited image 2 is better</answer>",
            FailureKind.CONFLICTING_ANSWERS,
        ),
        ("Edited image 1 is better" + "." * 200, FailureKind.NO_ANSWER),
    ],
)
def test_what_is_none_is_a_failure_of_its_kind(text: str, kind: FailureKind) -> None:
    found = parse_edit(text, TASK)
    assert isinstance(found, ParseFailure)
    assert found.kind == kind


def test_what_stands_before_the_verdict_is_its_reasoning() -> None:
    found = parse_edit("The sky is as asked.\nThe dog is gone.\nEdited image 1 is better", TASK)
    assert isinstance(found, Judgement)
    assert found.reasoning == "The sky is as asked.\nThe dog is gone."
