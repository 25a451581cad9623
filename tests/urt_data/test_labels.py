"""Soft labels from votes, by the formula of the docstring."""

from dataclasses import replace

import pytest

from tests.urt_data.conftest import image_record
from urt_core import Preference
from urt_data.labels import probability_first, with_soft_label


def record(preference: Preference | None, **metadata):
    return replace(image_record(0), preference=preference, metadata=metadata)


@pytest.mark.parametrize(
    ("votes", "expected"),
    [
        ({"first": 3, "second": 0}, 3.5 / 4),
        ({"first": 30, "second": 0}, 30.5 / 31),
        ({"first": 2, "second": 1, "tie": 2}, 3.5 / 6),
        ({"first": 0.7, "second": 0.2, "tie": 0.1}, 0.75),  # shares: their number is unknown
        ({"first": 0, "second": 0}, 0.5),
    ],
)
def test_votes(votes: dict[str, float], expected: float) -> None:
    assert probability_first(record(Preference.FIRST, votes=votes)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("preference", "expected"),
    [(Preference.FIRST, 0.75), (Preference.TIE, 0.5), (Preference.SECOND, 0.25), (None, None)],
)
def test_a_label_counts_as_one_vote(preference: Preference | None, expected: float | None) -> None:
    assert probability_first(record(preference)) == expected


def test_both_sides_add_up_and_a_record_without_label_stays() -> None:
    labelled = with_soft_label(record(Preference.FIRST, votes={"first": 7, "second": 2}), pseudo_votes=1.0)
    assert sum(labelled.metadata["soft_label"].values()) == pytest.approx(1.0)
    bare = record(None)
    assert with_soft_label(bare, pseudo_votes=1.0) == bare
