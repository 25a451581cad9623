"""Spans of a run's rollouts, by a clock of the test's own."""

import threading
from concurrent.futures import Future
from itertools import count

from urt_train.rollouts.timeline import Span, Timeline


def test_spans_are_told_in_the_order_in_which_they_end():
    timeline = Timeline(clock=ticking())
    groups: Future = Future()
    groups.add_done_callback(timeline.begun("sampling", 1))
    with timeline.span("hand-over", 0):
        pass
    timeline.learns(0)
    groups.set_result([])
    timeline.learned()
    timeline.learned()
    assert timeline.spans == [
        Span("hand-over", 0, 2.0, 3.0),
        Span("sampling", 1, 1.0, 5.0),
        Span("learning", 0, 4.0, 6.0),
    ]


def test_nothing_was_learned_before_the_first_rollout():
    timeline = Timeline(clock=ticking())
    timeline.learned()
    assert timeline.spans == []


def test_a_span_may_end_in_another_thread():
    timeline = Timeline(clock=ticking())
    thread = threading.Thread(target=timeline.begun("sampling", 0))
    thread.start()
    thread.join()
    assert timeline.spans == [Span("sampling", 0, 1.0, 2.0)]


def ticking():
    ticks = count(100)
    return lambda: float(next(ticks))
