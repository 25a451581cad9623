import random

import pytest
from scipy import stats

from urt_core.errors import ConfigError
from urt_core.metrics import mcnemar, paired_bootstrap, wilson_interval


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (81, 263), (922, 1250)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    expected = stats.binomtest(successes, n).proportion_ci(confidence_level=confidence, method="wilson")
    assert wilson_interval(successes, n, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_the_half_widths_of_todays_benchmarks() -> None:
    """VL-RewardBench has 1,250 pairs: near 74 % the 95 % interval is 2.4 points on either side."""
    low, high = wilson_interval(922, 1250)
    assert (high - low) / 2 == pytest.approx(0.024, abs=0.0005)


def test_no_pair_says_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("arguments", [(5, 4), (-1, 4), (1, 4, 1.0), (1, 4, 0.0)])
def test_impossible_arguments(arguments: tuple) -> None:
    with pytest.raises(ConfigError):
        wilson_interval(*arguments)


def judges(n: int, seed: int) -> tuple[list[bool], list[bool]]:
    draw = random.Random(seed)
    return [draw.random() < 0.74 for _ in range(n)], [draw.random() < 0.66 for _ in range(n)]


def test_the_bootstrap_of_a_paired_difference() -> None:
    a, b = judges(400, 0)
    result = paired_bootstrap(a, b, num_resamples=500)
    assert result.difference == pytest.approx((sum(a) - sum(b)) / 400)
    differences = [int(x) - int(y) for x, y in zip(a, b, strict=True)]
    mean = sum(differences) / 400
    half = 1.96 * (sum((d - mean) ** 2 for d in differences) / 400) ** 0.5 / 20
    assert (result.low, result.high) == pytest.approx((mean - half, mean + half), abs=0.015)
    assert paired_bootstrap(a, b, num_resamples=500) == result
    assert paired_bootstrap(b, a, num_resamples=1).difference == -result.difference


def test_equal_judges_do_not_differ() -> None:
    a, _ = judges(50, 1)
    result = paired_bootstrap(a, a, num_resamples=50)
    assert (result.difference, result.low, result.high) == (0.0, 0.0, 0.0)
    assert mcnemar(a, a).p_value == 1.0


@pytest.mark.parametrize(("only_a", "only_b"), [(12, 3), (3, 12), (0, 5), (7, 7), (40, 22)])
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    a = [True] * only_a + [False] * only_b + [True] * 5 + [False] * 4
    b = [False] * only_a + [True] * only_b + [True] * 5 + [False] * 4
    result = mcnemar(a, b)
    assert (result.n_only_a, result.n_only_b) == (only_a, only_b)
    assert result.p_value == pytest.approx(stats.binomtest(only_a, only_a + only_b).pvalue)


def test_wrong_lengths() -> None:
    with pytest.raises(ConfigError, match="1 values against 2"):
        mcnemar([True], [True, False])
    with pytest.raises(ConfigError, match="0 pairs"):
        paired_bootstrap([], [])
