"""Rates by hand, and as the scorer's metrics have them."""

import math

import pytest

from tests.urt_core.bench.judged import judgement, pair, run
from urt_core import Dialect, Preference, Task
from urt_core.bench.rates import Rate
from urt_core.comparison import Order


def test_counts_by_hand():
    """Four pairs: right, wrong, unreadable, labelled tie."""
    labels = [Preference.FIRST, Preference.SECOND, Preference.FIRST, Preference.TIE]
    records = [pair(number, label) for number, label in enumerate(labels)]
    script = [judgement(1), judgement(1), "no idea", judgement(1)]
    row = run(script, records, dialects=[Dialect.V1], orders="given").row(Dialect.V1, Task.IMAGE_GENERATION)
    assert (row.n_total, row.n_scored, row.n_failed) == (3, 2, 1)
    assert row.accuracy == Rate(successes=1, n=3)
    assert row.parse_rate == Rate(successes=3, n=4)
    assert row.first_pick == Rate(successes=3, n=3)
    assert row.position_consistency == Rate(successes=0, n=0)


def test_sums_and_totals_are_checked_on_readable_judgements():
    script = [
        judgement(1),
        judgement(2),  # against its own totals
        judgement(1, totals=(25, 20)),  # 9+8+7 is not 25
        "<answer>Image 1 is better</answer>",  # states no totals
    ]
    row = run(script, [pair(n) for n in range(4)], dialects=[Dialect.V1], orders="given").row(Dialect.V1)
    assert row.consistent_sums == Rate(successes=2, n=3)
    assert row.verdict_follows_totals == Rate(successes=2, n=3)


def test_tasks_causes_and_all_together():
    records = [
        pair(0, cause="count"),
        pair(1, Preference.SECOND, cause="blur"),
        pair(2, cause="answer", task=Task.IMAGE_UNDERSTANDING),
    ]
    script = {"pair-0": judgement(1), "pair-1": judgement(1), "pair-2": judgement(1, noun="Answer")}
    result = run(script, records, dialects=[Dialect.V1], orders="given")
    assert [row.task for row in result.rows] == [Task.IMAGE_GENERATION, Task.IMAGE_UNDERSTANDING, None]
    assert [row.accuracy.value for row in result.rows] == [0.5, 1.0, pytest.approx(2 / 3)]
    causes = {(row.task, row.cause): row.accuracy.value for row in result.cause_rows}
    assert causes == {
        (Task.IMAGE_GENERATION, "blur"): 0.0,
        (Task.IMAGE_GENERATION, "count"): 1.0,
        (Task.IMAGE_UNDERSTANDING, "answer"): 1.0,
    }


def test_wilson_interval_of_a_known_share():
    """88 of 100: the textbook value of the Wilson score interval at 95 %."""
    assert Rate(successes=88, n=100).interval == pytest.approx((0.8019, 0.9300), abs=1e-4)
    assert Rate(successes=0, n=0).value is None


def test_rates_agree_with_the_metrics_of_the_scorer():
    from urt_core.metrics import pairwise_accuracy, position_consistency

    records = [pair(n, Preference.FIRST if n % 3 else Preference.SECOND) for n in range(30)]
    texts = [judgement(1), judgement(2), "?", judgement(1), judgement(1)]
    counter = iter(range(10_000))
    result = run(lambda prompt, index: texts[(next(counter) * 7) % 5], records, dialects=[Dialect.V1])
    given, swapped = ([p for p in result.judged if p.order is order] for order in Order)
    row = result.row(Dialect.V1)
    accuracy = pairwise_accuracy([p.verdict for p in given], [p.label or Preference.TIE for p in given])
    consistency = position_consistency([p.verdict for p in given], [p.verdict for p in swapped])
    assert row.accuracy.value == pytest.approx(accuracy.accuracy, abs=0)
    assert (row.n_total, row.n_scored, row.n_failed) == (accuracy.n_total, accuracy.n_scored, accuracy.n_failed)
    assert math.isclose(row.position_consistency.value or 0, consistency.consistency)
