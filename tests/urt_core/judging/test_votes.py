"""How a question is sampled: greedy once, apart several times, and never several equal ones."""

import pytest

from urt_core import SamplingParams
from urt_core.errors import ConfigError
from urt_core.judging.votes import default_sampling, with_votes


def test_one_vote_is_greedy_and_several_differ() -> None:
    assert default_sampling(1) == SamplingParams(temperature=0.0)
    assert default_sampling(3, max_tokens=64) == SamplingParams(temperature=0.7, max_tokens=64)


def test_votes_are_completions() -> None:
    assert with_votes(SamplingParams(temperature=0.7), 5).num_completions == 5
    assert with_votes(SamplingParams(num_completions=4), None).num_completions == 4


@pytest.mark.parametrize(("votes", "temperature"), [(0, 0.7), (2, 0.0)])
def test_equal_or_no_votes_are_refused(votes: int, temperature: float) -> None:
    with pytest.raises(ConfigError, match=rf"votes is {votes} at temperature {temperature}"):
        with_votes(SamplingParams(temperature=temperature), votes)
