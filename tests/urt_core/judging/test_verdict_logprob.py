"""The probability of the number in the answer, from the log-probs of its tokens."""

import math
from dataclasses import replace

import pytest

from urt_core import Completion
from urt_core.judging.verdict_logprob import verdict_probability, verdict_share


def completion(*tokens: tuple[str, float]) -> Completion:
    texts, logprobs = zip(*tokens, strict=True)
    return Completion(text="".join(texts), token_texts=texts, logprobs=logprobs)


def test_it_is_that_of_the_number_alone() -> None:
    found = verdict_probability(completion(("Image ", -3.0), ("2", math.log(0.8)), (" is better", -2.0)))
    assert found == pytest.approx(0.8, abs=1e-12)


def test_the_last_verdict_counts_and_a_token_may_hold_more_than_the_number() -> None:
    tokens = (("Image 1 is better? No: image", -1.0), (" 2 is", math.log(0.25)), (" better", -1.0))
    assert verdict_probability(completion(*tokens)) == pytest.approx(0.25, abs=1e-12)


@pytest.mark.parametrize(
    "without",
    [
        Completion(text="Image 1 is better"),
        Completion(text="Image 1 is better", logprobs=(-1.0, -1.0), token_texts=("Image 1 is better",)),
        Completion(text="a tie", logprobs=(-1.0,), token_texts=("a tie",)),
    ],
)
def test_none_where_the_tokens_do_not_say(without: Completion) -> None:
    assert verdict_probability(without) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, 0.5])
def test_a_number_that_is_no_log_probability_makes_no_probability(number: float) -> None:
    """Wherever it stands: an engine that gives one such number gives none that can be believed."""
    for place in range(3):
        numbers = [-0.1, -0.2, -0.3]
        numbers[place] = number
        tokens = zip(("Image ", "2", " is better"), numbers, strict=True)
        assert verdict_probability(completion(*tokens)) is None


@pytest.mark.parametrize("number", [math.nan, math.inf, 0.5])
def test_a_likeliest_token_without_a_log_probability_makes_none_either(number: float) -> None:
    given = completion(("Image ", -0.1), ("2", -0.2), (" is better", -0.1))
    assert verdict_probability(replace(given, top_logprobs=((), (("2", -0.2), ("1", number)), ()))) is None


def test_a_share_is_known_where_the_likeliest_tokens_of_its_position_are() -> None:
    alone = completion(("Image ", -0.1), ("2", math.log(0.6)), (" is better", -0.1))
    assert verdict_probability(alone) == pytest.approx(0.6, abs=1e-12)
    assert verdict_share(alone) is None
    assert verdict_share(replace(alone, top_logprobs=((("Image ", -0.1),), (), ()))) is None
    both = replace(alone, top_logprobs=((), (("2", math.log(0.6)), ("1", math.log(0.2))), ()))
    assert verdict_share(both) == verdict_probability(both) == pytest.approx(0.75, abs=1e-12)
    above_half = replace(alone, top_logprobs=((), (("2", math.log(0.6)), ("A", math.log(0.2))), ()))
    assert verdict_share(above_half) == pytest.approx(0.6, abs=1e-12)


def test_a_token_that_can_not_have_been_sampled_makes_no_probability() -> None:
    given = completion(("Image ", -0.1), ("2", -math.inf), (" is better", -0.1))
    assert verdict_probability(given) is None
    assert verdict_probability(replace(given, top_logprobs=((), (("1", -math.inf),), ()))) is None


def test_likeliest_tokens_of_fewer_places_are_those_of_the_first_ones() -> None:
    given = completion(("Image ", -0.1), ("2", math.log(0.8)), (" is better", -0.1))
    assert verdict_probability(replace(given, top_logprobs=((("Image ", -0.1),),))) == pytest.approx(0.8)


def test_the_rounding_of_half_precision_is_no_probability_above_one() -> None:
    assert verdict_probability(completion(("Image ", 0.0), ("2", 5e-5), (" is better", 0.0))) == 1.0
