"""Bradley-Terry strengths and Swiss pairing."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urt_core.ranking import bradley_terry, round_robin, swiss_pairs


def log_likelihood(strengths, wins, prior):
    total = 0.0
    for i, row in enumerate(wins):
        for j, won in enumerate(row):
            total -= won * math.log1p(math.exp(strengths[j] - strengths[i]))
    # each candidate against the imagined one of strength 0
    return total - prior * sum(math.log1p(math.exp(-s)) + math.log1p(math.exp(s)) for s in strengths)


def test_two_candidates_have_a_closed_form():
    # Without a prior the odds are the ratio of wins: 3:1.
    first, second = bradley_terry([[0, 3], [1, 0]], prior=1e-9)
    assert first - second == pytest.approx(math.log(3), abs=1e-4)


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=4, max_size=4))
def test_strengths_maximise_the_likelihood(wins):
    wins = [[0 if i == j else won for j, won in enumerate(row)] for i, row in enumerate(wins)]
    strengths = bradley_terry(wins, prior=0.5)
    assert sum(strengths) == pytest.approx(0, abs=1e-6)
    # The penalised likelihood is not invariant to a shift: find the shift that centring removed, then perturb.
    shift = max((log_likelihood([s + d / 100 for s in strengths], wins, 0.5), d / 100) for d in range(-300, 301))[1]
    best = log_likelihood([s + shift for s in strengths], wins, 0.5)
    for index in range(4):
        for change in (-0.1, 0.1):
            other = [s + shift + (change if i == index else 0) for i, s in enumerate(strengths)]
            assert log_likelihood(other, wins, 0.5) <= best + 1e-4


def test_an_unbeaten_candidate_stays_finite():
    strengths = bradley_terry([[0, 5, 5], [0, 0, 5], [0, 0, 0]])
    assert all(math.isfinite(strength) for strength in strengths)
    assert strengths[0] > strengths[1] > strengths[2]


def test_swiss_rounds_never_repeat_a_pair():
    met = set()
    scores = [0.0] * 8
    for _ in range(7):
        pairs = swiss_pairs(scores, met)
        assert len({candidate for pair in pairs for candidate in pair}) == 2 * len(pairs)
        assert not met & set(pairs)
        met |= set(pairs)
        for i, _ in pairs:
            scores[i] += 1
    assert met <= set(round_robin(8))
