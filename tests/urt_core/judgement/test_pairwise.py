"""Which way a judgement is read, and what happens to scores behind its answer."""

import pytest

from urt_core import Dialect, Judgement, ParseFailure, Preference, Task, parse_judgement
from urt_core.judgement import FailureKind
from urt_core.judgement.pairwise import with_scores

TASK = Task.IMAGE_GENERATION
WHOLE = "1. Style: Image 1 (8/10); Image 2 (6/10)\nTotal score:\nImage 1: 8\nImage 2: 6\n"
TAGGED = f"<think>\n{WHOLE}</think>\n<answer>Image 1 is better</answer>"


@pytest.mark.parametrize(
    ("text", "dialect", "expected"),
    [
        (TAGGED, None, Preference.FIRST),
        (TAGGED, Dialect.V1, Preference.FIRST),
        (TAGGED, Dialect.DIRECT, Preference.FIRST),
        ("Image 2 is better.", None, Preference.SECOND),
        ("Image 2 is better.", Dialect.DIRECT, Preference.SECOND),
        ("Image 2 is better.", Dialect.V1, FailureKind.NO_ANSWER),
        ("Both images are equally good.", None, Preference.TIE),
        ("<answer>Both images are equally good</answer>", None, FailureKind.TIE_NOT_ALLOWED),
        ("<answer>Both images are equally good</answer>", Dialect.DIRECT, Preference.TIE),
        ("Video 2 is better.", None, FailureKind.WRONG_NOUN),
        ("  ", Dialect.V2, FailureKind.EMPTY),
    ],
)
def test_tags_decide_the_reading_and_the_dialect_what_is_allowed(text, dialect, expected) -> None:
    found = parse_judgement(text, task=TASK, dialect=dialect)
    assert (found.verdict if isinstance(found, Judgement) else found.kind) == expected


def test_totals_are_compared_with_the_verdict() -> None:
    for verdict, matches in ((Preference.FIRST, True), (Preference.SECOND, False), (Preference.TIE, False)):
        judgement, is_whole = with_scores(verdict, WHOLE, noun="Image")
        assert (judgement.totals, judgement.sums_consistent) == ((8.0, 6.0), True)
        assert judgement.answer_matches_totals == matches
        assert is_whole


def test_without_totals_nothing_is_said_about_them() -> None:
    judgement, is_whole = with_scores(Preference.FIRST, "1. Style: Image 1 (8/10); Image 2 (6/10)", noun="Image")
    assert judgement.scores == {"style": (8.0, 6.0)}
    assert (judgement.totals, judgement.sums_consistent, judgement.answer_matches_totals) == (None, None, None)
    assert not is_whole


def test_scoring_that_goes_on_behind_a_quoted_answer_was_cut_off() -> None:
    quoted = "<think>one could say <answer>Image 1 is better</answer></think>\n2. Style: Image 1 (3/10)"
    found = parse_judgement(quoted, task=TASK)
    assert isinstance(found, ParseFailure)
    assert isinstance(parse_judgement(f"{TAGGED}\nThis was Image 1 (8/10).", task=TASK), Judgement)
