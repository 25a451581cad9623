import math

import pytest

from urt_core import Judgement, ParseFailure, Preference
from urt_core.errors import ConfigError
from urt_core.judgement import FailureKind
from urt_core.metrics import pairwise_accuracy, position_consistency, verdict_of

F, S, T = Preference.FIRST, Preference.SECOND, Preference.TIE
FAILED = ParseFailure(kind=FailureKind.TRUNCATED)


def test_unreadable_predictions_are_wrong_and_counted() -> None:
    result = pairwise_accuracy([F, S, FAILED, None], [F, F, F, S])
    assert (result.n_total, result.n_scored, result.n_failed, result.n_correct) == (4, 2, 2, 1)
    assert result.accuracy == 0.25
    assert result.failure_rate == 0.5


def test_ties_are_left_out_or_counted() -> None:
    predictions, labels = [F, T, T, S, F, None], [F, T, F, S, T, T]
    excluded = pairwise_accuracy(predictions, labels, ties="exclude")
    assert (excluded.n_total, excluded.n_excluded, excluded.n_correct, excluded.n_failed) == (3, 3, 2, 0)
    assert excluded.accuracy == pytest.approx(2 / 3)  # a predicted tie on a decisive pair is wrong
    included = pairwise_accuracy(predictions, labels, ties="include")
    assert (included.n_total, included.n_excluded, included.n_correct, included.n_failed) == (6, 0, 3, 1)
    assert included.accuracy == 0.5


def test_swapping_every_pair_changes_nothing() -> None:
    predictions, labels = [F, S, T, None, F], [S, S, T, F, F]
    swapped = pairwise_accuracy(
        [None if verdict is None else verdict.swap() for verdict in predictions],
        [label.swap() for label in labels],
        ties="include",
    )
    assert swapped == pairwise_accuracy(predictions, labels, ties="include")


def test_no_pair_is_not_zero() -> None:
    result = pairwise_accuracy([T], [T])
    assert math.isnan(result.accuracy)
    assert math.isnan(result.failure_rate)
    assert result.interval == (0.0, 1.0)


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="2 values against 1"):
        pairwise_accuracy([F, F], [F])
    with pytest.raises(ConfigError, match="'exclude', 'include'"):
        pairwise_accuracy([F], [F], ties="half")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="left"):
        pairwise_accuracy(["left"], [F])  # pyright: ignore[reportArgumentType]


def test_verdicts_of_predictions() -> None:
    assert verdict_of(Judgement(verdict=S, scores={})) is S
    assert verdict_of("first") is F  # pyright: ignore[reportArgumentType]
    assert verdict_of(FAILED) is None
    assert verdict_of(None) is None


def test_a_judge_that_always_picks_the_first_shown() -> None:
    result = position_consistency([F, F, F], [F, F, F])
    assert (result.n_total, result.n_scored, result.consistency, result.first_pick_rate) == (3, 3, 0.0, 1.0)


def test_a_judge_that_follows_the_candidates() -> None:
    result = position_consistency([F, S, T, F], [S, F, T, FAILED])
    assert (result.n_total, result.n_scored, result.consistency, result.first_pick_rate) == (4, 3, 1.0, 0.5)


def test_a_tie_in_one_order_is_a_disagreement() -> None:
    assert position_consistency([F, T], [T, T]).consistency == 0.5


def test_no_pair_in_both_orders() -> None:
    result = position_consistency([None], [F])
    assert math.isnan(result.consistency)
    assert math.isnan(result.first_pick_rate)
