"""A judgement's margin, and the end of a text that could not be read."""

import pytest

from urt_core import Judgement, ParseFailure, Preference
from urt_core.errors import ConfigError
from urt_core.judgement import FailureKind


@pytest.mark.parametrize(("totals", "margin"), [((21.5, 25.0), -3.5), ((7.0, 7.0), 0.0), (None, None)])
def test_the_margin_is_of_the_stated_totals(totals, margin: float | None) -> None:
    assert Judgement(verdict=Preference.SECOND, scores={}, totals=totals).margin == margin


def test_an_excerpt_is_the_end_of_the_text_in_bounded_length() -> None:
    failure = ParseFailure.at(FailureKind.TRUNCATED, "x" * 1000 + "Image 1: 8+7  \n")
    assert len(failure.excerpt) <= 160
    assert failure.excerpt.endswith("xImage 1: 8+7")
    assert ParseFailure.at(FailureKind.EMPTY) == ParseFailure(kind="empty", excerpt="")


@pytest.mark.parametrize("confidence", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_confidence_is_a_probability(confidence: float) -> None:
    for stated in (0.0, 0.8, 1.0, None):
        assert Judgement(verdict=Preference.FIRST, scores={}, confidence=stated).confidence == stated
    with pytest.raises(ConfigError, match="from 0 to 1"):
        Judgement(verdict=Preference.FIRST, scores={}, confidence=confidence)
