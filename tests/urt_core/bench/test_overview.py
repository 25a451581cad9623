"""Judges side by side: their numbers, how they behave, and paired tests on the same items."""

import math
from dataclasses import replace

import pytest

from urt_core.bench.overview import behaviour_table, paired_table, result_table
from urt_core.bench.result import BenchResult
from urt_core.errors import DataError
from urt_core.metrics import mcnemar, paired_difference


def result(right: list[int], **changes) -> BenchResult:
    share = 100 * sum(right) / len(right)
    made = BenchResult(
        benchmark="pairs", rule="each", wording="right where the verdict is the label", own=("accuracy", "macro"),
        values={"accuracy": share, "macro": math.nan, "first_picked": 50.0}, intervals={"accuracy": (share - 5, share + 5)},
        n_of={"accuracy": len(right)}, n_total=1000 + len(right), n_scored=len(right), n_failed=1000,
        by_item={f"i{number}": (hit, 1) for number, hit in enumerate(right)},
    )  # fmt: skip
    return replace(made, **changes)


A, B = [1] * 30 + [0] * 10, [1] * 22 + [0] * 8 + [1] * 3 + [0] * 7


def test_a_row_per_judge_with_interval_counts_and_notes() -> None:
    table = result_table({"a": result(A), "b": result(B, notes=("INCOMPLETE",))})
    assert table.columns == ("judge", "accuracy", "macro", "n_total", "n_scored", "n_failed")
    assert table.rows == (
        ("a", "75.00 (70.0–80.0)", "–", "1,040", "40", "1,000"),
        ("b", "62.50 (57.5–67.5)", "–", "1,040", "40", "1,000"),
    )
    assert table.notes[1:] == ("b: INCOMPLETE",)


def test_behaviour_shows_what_any_of_them_has() -> None:
    table = behaviour_table({"a": result(A), "b": result(B, values={"accuracy": 62.5, "unreadable": 2.0})})
    assert table.columns == ("judge", "first picked", "unreadable")
    assert table.rows == (("a", "50.00", "–"), ("b", "–", "2.00"))


def test_a_paired_difference_is_that_of_the_items_with_mcnemars_test() -> None:
    [row] = paired_table({"a": result(A), "b": result(B)}).rows
    found = paired_difference([((right, 1), (base, 1)) for right, base in zip(B, A, strict=True)])
    test = mcnemar([bool(right) for right in B], [bool(right) for right in A])
    assert row == (
        "b", "-12.50", f"{100 * found.low:+.2f} to {100 * found.high:+.2f}", "40", "3", "8", f"{test.p_value:.2g}"
    )  # fmt: skip


def test_items_of_several_judgements_have_no_exact_test() -> None:
    several = {name: (2 * right, 2) for name, (right, _) in result(A).by_item.items()}
    [row] = paired_table({"a": result(A, by_item=several), "b": result(B, by_item=several)}).rows
    assert row[1:2] + row[4:] == ("+0.00", "–", "–", "–")


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"a": result(A)}, "a alone can't be compared"),
        (
            {"a": result(A), "b": result(B[:38])},
            r"b and a have not judged the same items \(2 are in one of them only\)",
        ),
        ({"a": result(A), "b": result(B, rule="both")}, "b is scored by pairs/both, the first by pairs/each"),
    ],
)
def test_what_cannot_be_compared_is_said(results, message: str) -> None:
    with pytest.raises(DataError, match=message):
        paired_table(results)
