"""UnifiedReward-Flex's object: its winner, its scores by category, and whether they say the same."""

import json
from typing import Any

import pytest

from urt_core import Judgement, ParseFailure, Preference, Task
from urt_core.judgement import FailureKind
from urt_core.judgement.flex import parse_flex

TASK = Task.IMAGE_GENERATION


def category(name: str, winner: object, *pairs: tuple[object, object]) -> dict[str, Any]:
    dims = [{"name": f"D{number}", "score_1": one, "score_2": two} for number, (one, two) in enumerate(pairs)]
    return {"name": name, "dims": dims, "cat_winner": winner}


def read(*categories: object, winner: object = "Image 1", **more: object) -> Judgement | ParseFailure:
    return parse_flex(json.dumps({"categories": list(categories), "winner": winner, **more}), TASK)


def test_scores_are_named_by_category_and_totals_are_their_means() -> None:
    found = read(category("Style", "Image 1", (7, 3), (6, 4)), category("Text", "Image 2", (4.5, 5.5)), reason="crisp")
    assert isinstance(found, Judgement)
    assert found.scores == {"style: d0": (7.0, 3.0), "style: d1": (6.0, 4.0), "text: d0": (4.5, 5.5)}
    assert found.totals == pytest.approx((17.5 / 3, 12.5 / 3))
    assert (found.verdict, found.sums_consistent, found.answer_matches_totals) == (Preference.FIRST, True, True)
    assert found.reasoning == "crisp"


@pytest.mark.parametrize(
    ("categories", "consistent", "matches"),
    [
        ([category("a", "Image 2", (7, 3))], False, True),  # its winner has the lower mean
        ([category("a", "Image 1", (7, 4))], False, True),  # the scores sum to 11
        ([category("a", "Image 1", (7, 3.01))], True, True),  # written with two decimals
        ([category("a", "Image 2", (3, 7))], True, False),  # the object's winner has the lower mean
        ([category("a", "Image 2", (5, 5))], True, False),
    ],
)
def test_what_does_not_agree_is_told(categories: list, consistent: bool, matches: bool) -> None:
    found = read(*categories)
    assert isinstance(found, Judgement)
    assert (found.sums_consistent, found.answer_matches_totals) == (consistent, matches)


def test_scores_that_are_none_are_left_out_and_the_verdict_stands() -> None:
    found = read(category("a", None, (11, -1), (True, 9), ("7", 3), (None, 1)), "no category", {"dims": 3})
    assert found == Judgement(verdict=Preference.FIRST, scores={}, reasoning="")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", FailureKind.EMPTY),
        ("Image 1 is better", FailureKind.NO_ANSWER),
        ('{"winner": "Video 1"}', FailureKind.WRONG_NOUN),
        ('{"winner": "Image 3"}', FailureKind.UNREADABLE_ANSWER),
        ('{"winner": "Image 1 and Image 2"}', FailureKind.UNREADABLE_ANSWER),
        ('{"winner": 1}', FailureKind.UNREADABLE_ANSWER),
        ("{}", FailureKind.UNREADABLE_ANSWER),
        (
            json.dumps({"winner": "Image 1", "categories": [category("a", "the first", (7, 3))]}),
            FailureKind.UNREADABLE_ANSWER,
        ),
    ],
)
def test_what_names_no_winner_is_a_failure(text: str, kind: FailureKind) -> None:
    found = parse_flex(text, TASK)
    assert isinstance(found, ParseFailure)
    assert found.kind == kind
