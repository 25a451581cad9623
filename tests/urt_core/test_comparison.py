"""Votes put together, counted by hand: orders weigh the same, failures weigh nothing, contradictions are ties."""

import math

import pytest

from urt_core import Completion, Judgement, ParseFailure, Preference, PreferenceRecord, Status, Task
from urt_core.comparison import MARGIN_SCALE, Order, ProbabilityMethod, Vote, compare_votes, read_vote
from urt_core.engines import FinishReason, Usage
from urt_core.prompts import Dialect
from urt_core.records import Media, MediaKind

PICTURE = Media(kind=MediaKind.IMAGE, files=("a.png",))
RECORD = PreferenceRecord(key="pair", task=Task.IMAGE_GENERATION, text="a cat", first=PICTURE, second=PICTURE)


def vote(order: Order, verdict: Preference | None, *, scores: tuple[float, float] | None = None) -> Vote:
    """What was read as it was shown; None: it could not be read."""
    completion = Completion(text="text", usage=Usage(prompt_tokens=10, completion_tokens=2))
    if verdict is None:
        failure = ParseFailure(kind="no_answer", excerpt="hm")
        return Vote(order=order, status=Status.PARSE_ERROR, judgement=failure, completion=completion)
    held = {"aesthetics": scores} if scores else {}
    judgement = Judgement(verdict=verdict, scores=held, totals=scores)
    return Vote(order=order, status=Status.OK, judgement=judgement, completion=completion)


FIRST, SECOND, TIE = Preference.FIRST, Preference.SECOND, Preference.TIE
GIVEN, SWAPPED = Order.GIVEN, Order.SWAPPED


@pytest.mark.parametrize(
    ("votes", "preference", "probability", "consistent"),
    [
        ([(GIVEN, FIRST), (SWAPPED, SECOND)], FIRST, 1.0, True),
        ([(GIVEN, FIRST), (SWAPPED, FIRST)], TIE, 0.5, False),
        ([(GIVEN, SECOND)], SECOND, 0.0, None),
        ([(GIVEN, FIRST), (GIVEN, FIRST), (GIVEN, SECOND)], FIRST, 2 / 3, None),
        ([(GIVEN, FIRST), (GIVEN, SECOND)], TIE, 0.5, None),
        # One readable vote of an order weighs as much as three of the other.
        ([(GIVEN, FIRST)] * 3 + [(SWAPPED, SECOND), (SWAPPED, None), (SWAPPED, None)], FIRST, 1.0, True),
        ([(GIVEN, FIRST)] * 3 + [(SWAPPED, FIRST), (SWAPPED, None), (SWAPPED, None)], TIE, 0.5, False),
        ([(GIVEN, TIE), (SWAPPED, TIE)], TIE, 0.5, True),
    ],
)
def test_votes(votes, preference, probability, consistent) -> None:
    found = compare_votes(RECORD, [vote(order, verdict) for order, verdict in votes])
    assert (found.status, found.preference, found.position_consistent) == (Status.OK, preference, consistent)
    assert found.probability_first == pytest.approx(probability)
    assert found.num_failed == sum(verdict is None for _, verdict in votes)
    assert found.usage == Usage(prompt_tokens=10 * len(votes), completion_tokens=2 * len(votes))


def test_an_order_without_a_readable_vote_is_no_verdict() -> None:
    found = compare_votes(RECORD, [vote(GIVEN, FIRST), vote(SWAPPED, None)])
    assert (found.status, found.preference, found.probability_first, found.margin) == (
        Status.PARSE_ERROR,
        None,
        None,
        None,
    )
    assert found.detail == "no_answer: hm"


def test_scores_and_margin_are_turned_to_the_first_candidate() -> None:
    """Swapped, the first number belongs to the second candidate."""
    found = compare_votes(
        RECORD,
        [vote(GIVEN, FIRST, scores=(9, 4)), vote(SWAPPED, SECOND, scores=(5, 7))],
        method=ProbabilityMethod.MARGIN,
    )
    assert found.scores == {"aesthetics": (8.0, 4.5)}
    assert found.margin == 3.5
    assert found.probability_first == pytest.approx(1 / (1 + math.exp(-3.5 / MARGIN_SCALE)))
    assert found.probability_method is ProbabilityMethod.MARGIN


def test_a_method_that_the_votes_do_not_hold_falls_back_and_says_so() -> None:
    for method in (ProbabilityMethod.MARGIN, ProbabilityMethod.LOGPROB):
        found = compare_votes(RECORD, [vote(GIVEN, FIRST)], method=method)
        assert (found.probability_method, found.probability_first) == (ProbabilityMethod.VOTES, 1.0)


def test_an_unfinished_completion_is_not_read() -> None:
    completion = Completion(text="<answer>Image 1 is better</answer>", finish_reason=FinishReason.LENGTH)
    found = read_vote(completion, order=GIVEN, task=Task.IMAGE_GENERATION, dialect=Dialect.V1)
    assert (found.status, found.judgement, found.preference) == (Status.TRUNCATED, None, None)
