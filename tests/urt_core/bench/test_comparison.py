"""Judges against each other, counted by hand: paired differences, steadiness, pooled seeds."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from urt_core import Dialect, Preference, Task
from urt_core.bench.comparison import comparison_table
from urt_core.comparison import Order
from urt_core.errors import DataError
from urt_core.judging.pairs import JudgedPair
from urt_core.metrics import paired_bootstrap

UNREADABLE = None


def judged(right: Sequence[bool | None], right_swapped: Sequence[bool | None]) -> list[JudgedPair]:
    """Pairs 0, 1, ... in both orders, each right, wrong or unreadable."""
    pairs = []
    for order, outcomes in ((Order.GIVEN, right), (Order.SWAPPED, right_swapped)):
        label = Preference.FIRST if order is Order.GIVEN else Preference.SECOND
        for number, outcome in enumerate(outcomes):
            verdict = None if outcome is UNREADABLE else label if outcome else label.swap()
            pairs.append(
                JudgedPair(
                    key=f"pair-{number}",
                    task=Task.IMAGE_GENERATION,
                    cause="count",
                    dialect=Dialect.V1,
                    order=order,
                    label=label,
                    verdict=verdict,
                    failure="no_answer" if verdict is None else None,
                    correct=bool(outcome),
                    scores={},
                    totals=None,
                    sums_consistent=None,
                    answer_matches_totals=None,
                    num_tokens=1,
                    text="",
                )
            )
    return pairs


def test_counts_by_hand():
    first = judged([True, True, False, UNREADABLE], [True, False, False, True])
    other = judged([True, True, True, True], [True, True, False, True])
    table = comparison_table({"grpo": [first], "dapo": [other]}, dialect=Dialect.V1)
    assert table.columns[3] == "more right than grpo"
    one, two = table.rows
    assert one[:2] == ("grpo", "4")
    assert [cell.partition(" %")[0] for cell in (one[2], one[4], one[6])] == ["50.0", "50.0", "75.0"]
    assert (one[3], one[5]) == ("", "")
    assert [cell.partition(" %")[0] for cell in (two[2], two[4], two[6])] == ["100.0", "75.0", "100.0"]
    assert two[3].startswith("+50.0 (")
    assert two[5].startswith("+25.0 (")


def test_seeds_are_pooled_and_paired_within_their_seed():
    better, worse = judged([True] * 6, [True] * 6), judged([False] * 6, [True] * 6)
    half = judged([True] * 3 + [False] * 3, [True] * 6)
    table = comparison_table({"a": [worse, half], "b": [half, better]}, dialect=Dialect.V1)
    found = paired_bootstrap([True] * 3 + [False] * 3 + [True] * 6, [False] * 6 + [True] * 3 + [False] * 3)
    assert table.rows[1][1] == "12"
    assert table.rows[1][3] == f"+50.0 ({100 * found.low:+.1f} to {100 * found.high:+.1f})"


def test_other_pairs_are_refused():
    with pytest.raises(DataError, match="b and a have not judged the same pairs"):
        comparison_table({"a": [judged([True], [True])], "b": [judged([True] * 2, [True] * 2)]}, dialect=Dialect.V1)


def test_labelled_ties_and_other_dialects_are_left_out():
    pairs = judged([True, False], [True, False])
    pairs.append(replace(pairs[0], key="tie", label=Preference.TIE, correct=None))
    pairs.append(replace(pairs[0], dialect=Dialect.DIRECT))
    table = comparison_table({"a": [pairs], "b": [judged([True, True], [True, True])]}, dialect=Dialect.V1)
    assert [row[1] for row in table.rows] == ["2", "2"]
