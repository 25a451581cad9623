"""Crowd answers: which questions were asked, and which decides."""

import pytest

from urt_data.sources.published.crowd import preference_votes, shares
from urt_data.sources.rows import FieldError, Row

COLUMNS = {"preference": ("p1", "p2"), "alignment": ("a1", "a2"), "coherence": ("c1", "c2")}


def row(**values: object) -> Row:
    return Row(file="a.json", number=1, values=values)


def test_only_questions_that_were_asked_are_read() -> None:
    assert shares(row(p1=8, p2=2, c1="0.5", c2=1.5), COLUMNS) == {"preference": (8.0, 2.0), "coherence": (0.5, 1.5)}


@pytest.mark.parametrize(
    ("values", "field", "reason"),
    [
        ({}, "p1", "is missing, and so are all of"),
        ({"a1": 1}, "a2", "is missing"),
        ({"a1": 0, "a2": 0}, "a1", "and a2 are 0 and 0; nobody voted"),
        ({"a1": -1, "a2": 2}, "a1", "and a2 are -1 and 2; nobody voted"),
    ],
)
def test_what_is_no_vote_is_named_by_its_column(values: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(FieldError) as caught:
        shares(row(**values), COLUMNS)
    assert caught.value.field == field
    assert reason in caught.value.reason


def test_the_first_deciding_question_counts_by_its_votes() -> None:
    answers = {"alignment": (9.0, 1.0), "preference": (3.0, 7.0)}
    votes = preference_votes(answers, deciding=("overall", "preference", "alignment"))
    assert (votes.first, votes.second) == (3.0, 7.0)


def test_without_one_all_questions_count_the_same_however_many_voted() -> None:
    votes = preference_votes({"alignment": (9.0, 1.0), "coherence": (100.0, 300.0)}, deciding=("preference",))
    assert votes.first == pytest.approx((0.9 + 0.25) / 2)
    assert votes.first + votes.second == pytest.approx(1.0)
