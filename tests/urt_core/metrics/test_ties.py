import math
import random

import pytest

from urt_core import Preference
from urt_core.errors import ConfigError
from urt_core.metrics import threshold_accuracy

F, S, T = Preference.FIRST, Preference.SECOND, Preference.TIE


def by_brute_force(margins: list[float], labels: list[Preference]) -> float:
    """Accuracy at every threshold that exists, written out."""

    def verdict(margin: float, threshold: float) -> Preference:
        return T if abs(margin) <= threshold else F if margin > 0 else S

    thresholds = {0.0, *map(abs, margins)}
    return max(
        sum(verdict(margin, threshold) is label for margin, label in zip(margins, labels, strict=True))
        for threshold in thresholds
    ) / len(labels)


def random_set(seed: int, n: int = 40) -> tuple[list[float], list[Preference]]:
    draw = random.Random(seed)
    return [float(draw.randint(-3, 3)) for _ in range(n)], [draw.choice((F, S, T)) for _ in range(n)]


@pytest.mark.parametrize("seed", range(50))
def test_the_best_threshold_that_exists(seed: int) -> None:
    margins, labels = random_set(seed)
    result = threshold_accuracy(margins, labels)
    assert result.accuracy == pytest.approx(by_brute_force(margins, labels))
    order = random.Random(seed).sample(range(40), 40)
    assert threshold_accuracy([margins[i] for i in order], [labels[i] for i in order]) == result
    mirrored = threshold_accuracy([-margin for margin in margins], [label.swap() for label in labels])
    assert mirrored == result


def test_stopping_inside_a_group_of_equal_margins_reports_what_no_threshold_reaches() -> None:
    """Six pairs with the same margin: a threshold calls all of them ties or none. Stopping after each row reaches 1.0
    where the ties come first and 2/3 where they come last."""
    margins = [1.0] * 6
    labels = [T, T, F, F, F, F]
    assert threshold_accuracy(margins, labels).accuracy == pytest.approx(4 / 6)
    assert threshold_accuracy(margins, labels, mode="compat").accuracy == 1.0
    assert threshold_accuracy(margins, labels[::-1], mode="compat").accuracy == pytest.approx(4 / 6)


def test_how_often_the_public_script_is_too_high() -> None:
    """Integer totals hit this nearly always: the compat figure is never lower, and often higher by points."""
    excess = [
        threshold_accuracy(margins, labels, mode="compat").accuracy - threshold_accuracy(margins, labels).accuracy
        for margins, labels in map(random_set, range(500))
    ]
    assert min(excess) >= 0
    assert sum(value > 0 for value in excess) / len(excess) > 0.4
    assert max(excess) >= 0.05


def test_pairs_without_a_margin_are_wrong() -> None:
    result = threshold_accuracy([2.0, None, math.nan, -2.0], [F, F, T, S])
    assert (result.accuracy, result.n_total, result.n_failed) == (0.5, 4, 2)


def test_without_ties_the_threshold_is_zero() -> None:
    result = threshold_accuracy([1.0, -1.0], [F, S])
    assert (result.accuracy, result.threshold) == (1.0, 0.0)


def test_all_ties() -> None:
    result = threshold_accuracy([1.0, -2.0, 0.0], [T, T, T])
    assert (result.accuracy, result.threshold) == (1.0, 2.0)


def test_nothing_and_wrong_arguments() -> None:
    assert math.isnan(threshold_accuracy([], []).accuracy)
    with pytest.raises(ConfigError, match="'distinct', 'compat'"):
        threshold_accuracy([], [], mode="best")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="0 values against 1"):
        threshold_accuracy([], [F])
