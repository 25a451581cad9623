"""What an instant answer says, and what is refused before anything is asked."""

import math
from dataclasses import replace

import pytest

from tests.urt_core.instant.instant_judge import AS_IT_IS, CALIBRATED, SURE, TORN, Judge, pair, verdict
from urt_core import Completion, Preference, SamplingParams, Scorer
from urt_core.comparison import Order, ProbabilityMethod
from urt_core.errors import ConfigError
from urt_core.instant import Mode
from urt_core.instant.modes import as_bounds, checked_mode, instant_sampling


def test_an_instant_probability_is_the_mean_of_both_orders_and_names_the_winner():
    scorer = Scorer(engine=Judge({"pair": TORN}))
    comparison = next(scorer.compare_batch([pair(scorer, "pair")], mode="instant"))
    assert comparison.probability_first == pytest.approx((0.95 + 0.4) / 2)
    assert (comparison.preference, comparison.position_consistent) == (Preference.FIRST, False)
    assert (comparison.mode, comparison.calibrated) == ("instant", False)
    assert comparison.to_json()["mode"] == "instant"


def test_a_calibrated_judge_says_what_it_is_worth():
    """Platt with a slope of 0.5: the root of the odds."""
    scorer = Scorer(engine=Judge({"pair": SURE}), instant_calibration=CALIBRATED)
    comparison = next(scorer.compare_batch([pair(scorer, "pair")], mode=Mode.INSTANT))
    assert comparison.calibrated
    assert comparison.probability_first == pytest.approx(1 / (1 + math.sqrt(1 / 999)))


def test_one_order_alone_is_not_called_calibrated():
    """The maps are fitted on the mean over both orders, which has no leaning to the candidate that is shown first."""
    scorer = Scorer(engine=Judge({"pair": SURE}), instant_calibration=CALIBRATED)
    comparison = next(scorer.compare_batch([pair(scorer, "pair")], mode="instant", orders="given"))
    assert (comparison.probability_first, comparison.calibrated) == (pytest.approx(0.999), False)


WITHOUT = Completion(text="Answer 2 is better.")
NO_NUMBER = replace(SURE[1], top_logprobs=((), (("2", -0.001), ("1", math.nan)), ()))
AMONG_MANY = tuple(verdict(number, 0.4, with_other=False) for number in (1, 2))
"""What both orders name has 0.4, and the other candidate is not among the likeliest tokens."""


ALONE = tuple(replace(answer, top_logprobs=()) for answer in SURE)
"""What an endpoint says that gives the log-probability of each token and no likeliest ones."""


@pytest.mark.parametrize(
    "answers",
    [(SURE[0], WITHOUT), (SURE[0], NO_NUMBER), AMONG_MANY, ALONE, (SURE[0], ALONE[1])],
    ids=[
        "none in one order",
        "no number in one order",
        "a share of more than two",
        "no share",
        "no share in one order",
    ],
)
def test_half_a_probability_is_none(answers):
    scorer = Scorer(engine=Judge({"pair": answers}), instant_calibration=AS_IT_IS)
    comparison = next(scorer.compare_batch([pair(scorer, "pair")], mode="instant"))
    assert (comparison.preference, comparison.probability_first) == (Preference.FIRST, 1.0)
    assert (comparison.probability_method, comparison.calibrated) == (ProbabilityMethod.VOTES, False)


def test_an_instant_answer_is_short_and_greedy():
    engine = Judge({"pair": SURE})
    scorer = Scorer(engine=engine, votes=4, sampling=SamplingParams(temperature=0.7, max_tokens=900, seed=3))
    next(scorer.compare_batch([pair(scorer, "pair")], mode="instant"))
    [sampling] = engine.samplings
    assert sampling == instant_sampling(SamplingParams(seed=3))
    assert (sampling.temperature, sampling.num_completions, sampling.max_tokens) == (0.0, 1, 16)


@pytest.mark.parametrize(
    "bounds",
    [
        *((0.9, 0.1), (-0.1, 0.5), (0.5, 1.5), (math.nan, 0.5), (0.1,), (0.1, 0.2, 0.3), 0.3, None, "0.1 0.9"),
        *((None, 0.9), ("0.1", "0.9"), (True, True), {"low": 0.1, "high": 0.9}),
    ],
)
def test_bounds_that_cross_or_are_no_two_numbers_are_refused(bounds):
    with pytest.raises(ConfigError, match=r"^bounds are .*; allowed: two numbers from 0 to 1, the lower one first$"):
        as_bounds(bounds)


def test_auto_without_calibration_is_refused_before_anything_is_asked():
    engine = Judge({})
    with pytest.raises(
        ConfigError, match=r"^mode is auto, .* no calibration in its judge\.json; ask with mode instant or"
    ):
        Scorer(engine=engine, mode="auto")
    scorer = Scorer(engine=engine)
    with pytest.raises(ConfigError, match="no calibration"):
        scorer.compare_batch([pair(scorer, "pair")], mode="auto")
    assert not engine.asked
    with pytest.raises(ConfigError, match=r"mode is 'slow'; allowed: reason, instant, auto"):
        checked_mode("slow", CALIBRATED, (Order.GIVEN, Order.SWAPPED))


def test_auto_in_one_order_is_refused_before_anything_is_asked():
    """It would reason about every pair, since one order alone is not calibrated."""
    engine = Judge({})
    line = r"^mode is auto, .* and orders is given, .*; ask with orders both, or with mode instant or reason$"
    with pytest.raises(ConfigError, match=line):
        Scorer(engine=engine, instant_calibration=CALIBRATED, mode="auto", orders="given")
    scorer = Scorer(engine=engine, instant_calibration=CALIBRATED, mode="auto")
    with pytest.raises(ConfigError, match=line):
        scorer.compare_batch([pair(scorer, "pair")], orders="given")
    assert not engine.asked
