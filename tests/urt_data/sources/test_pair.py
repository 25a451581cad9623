"""Pairs before they are records."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urt_core.records import Preference, Task
from urt_data.sources.pair import Pair, Votes
from urt_data.sources.rows import FieldError


def test_identical_candidates_are_no_decided_pair() -> None:
    with pytest.raises(FieldError, match="neither can be better"):
        Pair(task=Task.IMAGE_UNDERSTANDING, text="q", first="yes", second="yes", preference=Preference.FIRST)
    Pair(task=Task.IMAGE_UNDERSTANDING, text="q", first="yes", second="yes", preference=Preference.TIE)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_votes_and_pairs_swap_back(first: int, second: int, tie: int) -> None:
    votes = Votes(first=first, second=second, tie=tie)
    assert votes.swap().swap() == votes
    assert votes.swap().preference is votes.preference.swap()
    pair = Pair(
        task=Task.IMAGE_UNDERSTANDING,
        text="q",
        first="a",
        second="b",
        preference=votes.preference,
        votes=votes,
        scores={"x": (1.0, 2.0)},
        models=("m", None),
    )
    assert pair.swap().swap() == pair
    assert pair.swap().scores == {"x": (2.0, 1.0)}
    assert pair.swap().models == (None, "m")
