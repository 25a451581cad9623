"""Judgements gathered by pair."""

import pytest

from urt_core import Preference
from urt_core.bench.rules.pairs import Outcome, PairVerdicts, Reading, gather
from urt_core.errors import DataError


def test_judgements_of_a_pair_come_together_in_the_order_of_the_lines() -> None:
    rows = [
        Reading(pair="a", item="x", group="g", label=Outcome.FIRST, given=(Outcome.FIRST,), margins=(1.5,)),
        Reading(pair="b", item="x", label=Outcome.TIE, given=(None,)),
        Reading(pair="a", item="x", group="g", label=Outcome.FIRST, swapped=(Outcome.SECOND,), margins=(None,)),
        Reading(pair="a", item="x", group="g", label=Outcome.FIRST, given=(Outcome.BOTH_BAD,), margins=(-0.5,)),
    ]
    first, second = gather((f"line {number}", reading) for number, reading in enumerate(rows, 1))
    assert first == PairVerdicts(
        item="x", group="g", label=Outcome.FIRST, given=(Outcome.FIRST, Outcome.BOTH_BAD), swapped=(Outcome.SECOND,),
        margins=(1.5, None, -0.5),
    )  # fmt: skip
    assert first.margin == 0.5  # the mean of those that are known
    assert (second.given, second.margin) == ((None,), None)


def test_two_labels_of_one_pair_are_named_where_the_second_stands() -> None:
    rows = [Reading(pair="17", item="17", label=label) for label in (Outcome.FIRST, Outcome.SECOND)]
    with pytest.raises(DataError, match=r"line 2: pair '17' is labelled second, and first further up"):
        gather((f"line {number}", reading) for number, reading in enumerate(rows, 1))


@pytest.mark.parametrize(
    ("outcome", "swapped", "preference"),
    [
        (Outcome.FIRST, Outcome.SECOND, Preference.FIRST),
        (Outcome.SECOND, Outcome.FIRST, Preference.SECOND),
        (Outcome.TIE, Outcome.TIE, Preference.TIE),
        (Outcome.BOTH_GOOD, Outcome.BOTH_GOOD, Preference.TIE),
        (Outcome.BOTH_BAD, Outcome.BOTH_BAD, Preference.TIE),
    ],
)
def test_only_a_decided_outcome_changes_with_the_order(outcome, swapped, preference) -> None:
    assert (outcome.swap(), outcome.preference) == (swapped, preference)
    assert outcome.is_decisive == (preference is not Preference.TIE)
