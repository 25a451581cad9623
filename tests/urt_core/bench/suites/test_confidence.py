"""Reliability of a probability, by votes, margin and log-probability."""

import json
import math
from dataclasses import asdict, replace

import pytest

from tests.urt_core.bench.suites.judges import records, steady
from urt_core import Dialect, Preference
from urt_core.bench.suites.confidence import (
    Confidence,
    by_logprob,
    by_margin,
    by_stated,
    confidence,
    confidences,
    vote_share,
)
from urt_core.engines.scripted import ScriptedEngine
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair


def test_abstaining_keeps_the_most_confident(pair) -> None:
    rows = [(0.95, pair)] * 6 + [(0.45, pair)] * 4  # the label is the first: the doubtful ones are wrong
    found = confidence("margin", rows)
    assert dict(found.abstention)[1.0] == 0.6
    assert dict(found.abstention)[0.6] == 1.0
    assert found.ece == pytest.approx(0.6 * 0.05 + 0.4 * 0.55)


@pytest.mark.parametrize("first_of_all", ["right", "wrong"])
def test_abstaining_buys_nothing_among_equals_whatever_their_order(pair, first_of_all) -> None:
    """0.7 and 0.3 are equally sure, and half of them are right: keeping any share of them is right in half."""
    rows = [(0.7, pair)] * 5 + [(0.3, pair)] * 5
    found = confidence("votes", rows if first_of_all == "right" else rows[::-1])
    assert [right for _, right in found.abstention] == pytest.approx([0.5] * 6)
    surer = confidence(
        "votes", [*rows, *[(0.9, pair)] * 2]
    )  # 6 of 12: the surer two, and 4 of 10 of which half are right
    assert dict(surer.abstention)[0.5] == pytest.approx(4 / 6)


@pytest.fixture(scope="module")
def pair() -> JudgedPair:
    [found] = judge(
        records(1), engine=ScriptedEngine(script=steady), asked=Asked(dialect=Dialect.DIRECT, orders="given")
    )
    return found


def test_a_margin_of_three_points_is_odds_of_e(pair) -> None:
    assert by_margin(replace(pair, margin=3.0)) == pytest.approx(math.e / (1 + math.e))
    assert by_margin(replace(pair, margin=0.0)) == 0.5
    assert by_margin(replace(pair, margin=None)) is None


@pytest.mark.parametrize(
    ("verdict", "probability", "expected"),
    [
        (Preference.FIRST, 0.75, 0.75),
        (Preference.SECOND, 0.75, 0.25),
        (Preference.TIE, 0.75, None),
        (None, 0.75, None),
        (Preference.FIRST, None, None),
    ],
)
def test_a_logprob_is_of_the_number_that_was_written(pair, verdict, probability, expected) -> None:
    assert by_logprob(replace(pair, verdict=verdict, verdict_probability=probability)) == expected
    assert by_stated(replace(pair, verdict=verdict, confidence=probability)) == expected


def test_votes_share_a_pair_and_an_unreadable_one_has_no_say(pair) -> None:
    cast = [Preference.FIRST, Preference.FIRST, Preference.TIE, Preference.SECOND, None]
    assert vote_share([replace(pair, verdict=verdict) for verdict in cast]) == 2.5 / 4
    assert vote_share([replace(pair, verdict=None)]) is None


def test_only_what_the_judgements_hold_is_reported_and_ties_are_no_labels(pair) -> None:
    known = [replace(pair, margin=2.0), replace(pair, key="tied", label=Preference.TIE, margin=2.0)]
    found = {one.method: one for one in confidences(known, [])}
    assert set(found) == {"margin"}
    assert found["margin"].n == 1


def test_a_confidence_comes_back_through_json(pair, tmp_path) -> None:
    found = confidence("votes", [(0.9, pair), (0.6, pair), (0.2, pair)])
    assert Confidence.from_json(json.loads(json.dumps(asdict(found))), path=tmp_path) == found


def test_a_stated_confidence_stands_beside_the_others_where_there_is_one(pair) -> None:
    """The label is the first; three of four verdicts at 0.9 are right, and none is stated for the last."""
    wrong = replace(pair, verdict=Preference.SECOND, confidence=0.9)
    right = replace(pair, verdict=Preference.FIRST, confidence=0.9)
    found = {one.method: one for one in confidences([right, right, right, wrong, replace(pair, confidence=None)], [])}
    assert found["stated"].n == 4
    assert found["stated"].ece == pytest.approx(0.75 * 0.1 + 0.25 * 0.9)
