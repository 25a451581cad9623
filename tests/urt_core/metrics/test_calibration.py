import math
import random

import pytest

from urt_core.errors import ConfigError
from urt_core.metrics import calibration
from urt_core.metrics.calibration import DRAWS, error_of_chance


def test_by_hand() -> None:
    """Two bins: 0.2 and 0.4 against 1 of 2, 0.9 and 0.7 against 1 of 2."""
    result = calibration([0.2, 0.4, 0.9, 0.7], [False, True, True, False], num_bins=2)
    assert [item.n for item in result.bins] == [2, 2]
    assert [item.mean_probability for item in result.bins] == pytest.approx([0.3, 0.8])
    assert [item.frequency for item in result.bins] == [0.5, 0.5]
    assert result.ece == pytest.approx(0.5 * 0.2 + 0.5 * 0.3)
    assert result.brier == pytest.approx((0.04 + 0.36 + 0.01 + 0.49) / 4)


def test_certain_and_right() -> None:
    result = calibration([0.0, 1.0, 1.0], [False, True, True])
    assert (result.ece, result.brier) == (0.0, 0.0)
    assert (result.bins[0].low, result.bins[-1].high) == (0.0, 1.0)


def test_certain_and_wrong() -> None:
    result = calibration([0.0, 1.0], [True, False])
    assert (result.ece, result.brier) == (1.0, 1.0)


def test_one_bin_compares_the_means() -> None:
    probabilities, outcomes = [0.1, 0.5, 0.9, 0.3], [True, False, True, False]
    assert calibration(probabilities, outcomes, num_bins=1).ece == pytest.approx(abs(0.45 - 0.5))


def test_nothing_to_score() -> None:
    result = calibration([], [])
    assert result.n == 0
    assert math.isnan(result.ece)
    assert math.isnan(result.brier)


@pytest.mark.parametrize("bad", [math.nan, -0.1, 1.1, math.inf])
def test_only_probabilities(bad: float) -> None:
    with pytest.raises(ConfigError, match="outside"):
        calibration([0.5, bad], [True, True])


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="num_bins"):
        calibration([0.5], [True], num_bins=0)
    with pytest.raises(ConfigError, match="2 values against 1"):
        calibration([0.5, 0.5], [True])


def test_chance_alone_leaves_an_error() -> None:
    """One bin of n pairs at p: the mean of |share - p| is sqrt(2 p (1 - p) / (pi n)) for n not small."""
    found = error_of_chance([0.75] * 400, num_bins=10, seed=0)
    spread = (0.75 * 0.25 / 400) ** 0.5
    expected = spread * (2 / 3.141592653589793) ** 0.5
    error = spread * (1 - 2 / 3.141592653589793) ** 0.5 / DRAWS**0.5
    assert found == pytest.approx(expected, abs=4 * error)
    assert error_of_chance([1.0] * 50, num_bins=10, seed=0) == 0


def test_chance_falls_with_pairs() -> None:
    draw = random.Random(0)
    few = [draw.uniform(0.5, 1) for _ in range(100)]
    assert error_of_chance(few * 16, num_bins=10, seed=0) == pytest.approx(
        error_of_chance(few, num_bins=10, seed=0) / 4, rel=0.1
    )
