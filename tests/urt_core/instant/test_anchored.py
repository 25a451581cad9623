"""A candidate against anchors: the number, its interval, and what is refused before anything is asked."""

import asyncio
import math
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import t as student

from tests.urt_core.instant.instant_judge import (
    AS_IT_IS,
    PIXEL,
    STRENGTHS,
    Judge,
    anchored_judge,
    anchored_scorer,
    verdict,
)
from urt_core import Completion, FinishReason, Status, Task
from urt_core.errors import ConfigError
from urt_core.instant import Anchor, AnchorSet, CalibrationKind, InstantCalibration, TaskCalibration
from urt_core.instant.anchored import held_against, student_quantile
from urt_core.instant.anchors import sigmoid

QUESTION = {"text": "what is it?", "candidate": "a cat", "media": PIXEL}


def test_the_score_is_the_mean_calibrated_probability_of_beating_them():
    engine = anchored_judge((0.9, 0.8, 0.6, 0.3))
    found = anchored_scorer(engine).score(task=Task.IMAGE_UNDERSTANDING, **QUESTION, against="anchors", key="mine")
    assert found.score == found.fraction == pytest.approx((0.9 + 0.8 + 0.6 + 0.3) / 4)
    assert (found.key, found.status, found.contract, found.against) == ("mine", Status.OK, None, "anchors")
    assert (found.calibrated, found.num_votes, found.num_failed) == (True, 8, 0)
    assert len(engine.asked) == 8, "two passes for each anchor"
    assert {dialect for _, dialect in engine.asked} == {"direct"}
    assert engine.samplings[0].max_tokens == 16, "at once"
    assert len(engine.samplings) == 1, "in one batch"
    assert found.interval is not None
    assert found.interval[0] < 0.65 < found.interval[1]
    shown = found.to_json()
    assert (shown["against"], shown["interval"], shown["calibrated"]) == ("anchors", list(found.interval), True)
    flat = InstantCalibration(
        tasks={"image_understanding": TaskCalibration(kind=CalibrationKind.PLATT, num_pairs=9, slope=0.5)}
    )
    other = anchored_scorer(anchored_judge((0.9, 0.8, 0.6, 0.3)), instant_calibration=flat)
    calibrated = other.score(task=Task.IMAGE_UNDERSTANDING, **QUESTION, against="anchors")
    roots = [math.sqrt(p / (1 - p)) for p in (0.9, 0.8, 0.6, 0.3)]
    assert calibrated.score == pytest.approx(sum(root / (1 + root) for root in roots) / 4)


def test_asynchronously_and_in_batches_it_is_the_same():
    async def both():
        own = anchored_scorer(anchored_judge((0.9, 0.8, 0.6, 0.3)))
        request = own.point_request(task=Task.IMAGE_UNDERSTANDING, **QUESTION)
        return [one async for one in own.ascore_batch([request], against="anchors")]

    [one] = asyncio.run(both())
    own = anchored_scorer(anchored_judge((0.9, 0.8, 0.6, 0.3)))
    assert one == own.score(task=Task.IMAGE_UNDERSTANDING, **QUESTION, against="anchors")


def test_an_anchor_that_could_not_be_judged_counts_as_the_fit_says():
    """Probabilities of strength 1 against all anchors: without one of them the score is the same."""
    exact = [sigmoid(1 - strength) for strength in STRENGTHS]
    score, (low, high) = held_against(STRENGTHS, exact)
    for missing in range(4):
        holes = [None if n == missing else p for n, p in enumerate(exact)]
        assert held_against(STRENGTHS, holes)[0] == pytest.approx(score, abs=1e-9)
    assert (low, high) == pytest.approx((score, score), abs=1e-9)
    answers = {f"anchor-{n}": (verdict(1, p), verdict(2, p)) for n, p in ((1, 0.8), (2, 0.6), (3, 0.3))}
    answers["anchor-0"] = (Completion(text="a cat"), verdict(2, 0.9))
    engine = Judge(answers)
    found = anchored_scorer(engine).score(task=Task.IMAGE_UNDERSTANDING, **QUESTION, against="anchors")
    assert found.score == pytest.approx(held_against(STRENGTHS, [None, 0.8, 0.6, 0.3])[0])
    assert (found.status, found.num_failed) == (Status.OK, 1)


def test_without_half_of_them_there_is_no_number():
    gone = Completion(text="", finish_reason=FinishReason.HTTP_ERROR, detail="gone")
    broken = (gone, gone)
    fine = (verdict(1, 0.7), verdict(2, 0.7))
    engine = Judge({f"anchor-{n}": broken if n < 2 else fine for n in range(4)})
    found = anchored_scorer(engine).score(task=Task.IMAGE_UNDERSTANDING, **QUESTION, against="anchors")
    assert (found.status, found.score, found.interval, found.calibrated) == (Status.HTTP_ERROR, None, None, False)
    assert found.detail == "2 of 4 anchors could not be judged: gone"


def test_an_engine_without_log_probabilities_is_not_called_calibrated():
    says = (Completion(text="Answer 1 is better."), Completion(text="Answer 2 is better."))
    found = anchored_scorer(Judge({f"anchor-{n}": says for n in range(4)})).score(
        task=Task.IMAGE_UNDERSTANDING, **QUESTION, against="anchors"
    )
    assert (found.score, found.calibrated) == (1.0, False)


@given(
    st.lists(st.floats(-4, 4), min_size=3, max_size=16),
    st.lists(st.floats(0, 1), min_size=16, max_size=16),
    st.randoms(),
)
def test_it_is_a_probability_and_the_order_of_anchors_is_nothing(strengths, probabilities, rng):
    pairs = list(zip(strengths, probabilities[: len(strengths)], strict=True))
    score, (low, high) = held_against(*map(list, zip(*pairs, strict=True)))
    assert 0 <= low <= score <= high <= 1
    assert score == pytest.approx(sum(p for _, p in pairs) / len(pairs))
    rng.shuffle(pairs)
    again, interval = held_against(*map(list, zip(*pairs, strict=True)))
    assert (again, *interval) == pytest.approx((score, low, high), abs=1e-9)
    better = [(strength, min(1.0, p + 0.1)) for strength, p in pairs]
    assert held_against(*map(list, zip(*better, strict=True)))[0] >= score, "who beats them more often scores no less"


def test_the_quantile_is_students():
    for degrees in range(2, 32):
        assert student_quantile(degrees) == pytest.approx(student.ppf(0.975, degrees), rel=0.01)


def test_the_interval_holds_what_it_says_of_made_up_anchors():
    """Anchors whose pull on the judge is off by normal noise in the probability: the interval around a score covers the score against
    anchors without noise in about 95 of 100 draws."""
    import random

    rng, covered, draws = random.Random(0), 0, 2000
    strengths = [n / 2 - 1.75 for n in range(8)]
    exact = [sigmoid(0.3 - strength) for strength in strengths]
    truth = sum(exact) / 8
    for _ in range(draws):
        noisy = [min(1.0, max(0.0, p + rng.gauss(0, 0.05))) for p in exact]
        _, (low, high) = held_against(strengths, noisy)
        covered += low <= truth <= high
    assert covered / draws == pytest.approx(0.95, abs=0.02)


REFUSED = [
    ({"anchors": None}, r"^against is anchors, and this judge has none in its judge\.json"),
    ({"instant_calibration": None}, r"^against is anchors, .* this judge has no calibration in its judge\.json"),
]


@pytest.mark.parametrize(("settings", "words"), REFUSED, ids=["no anchors", "no calibration"])
def test_a_judge_without_a_scale_is_refused_before_anything_is_asked(settings, words):
    engine = anchored_judge((0.9, 0.8, 0.6, 0.3))
    with pytest.raises(ConfigError, match=words) as error:
        anchored_scorer(engine, **settings).score_batch([], against="anchors")
    assert "\n" not in str(error.value)
    assert not engine.asked
    with pytest.raises(ConfigError, match=r"^against is 'others'; allowed: 'anchors', or None"):
        anchored_scorer(engine).score_batch([], against=cast("Any", "others"))


def test_a_task_without_a_scale_costs_its_own_row():
    engine = anchored_judge((0.9, 0.8, 0.6, 0.3))
    alike = AnchorSet(tasks={"image_understanding": tuple(Anchor(candidate="a", strength=0.5) for _ in range(4))})
    one_map = InstantCalibration(tasks={"video_understanding": AS_IT_IS.tasks["video_understanding"]})
    clip = {**QUESTION, "media": [PIXEL, PIXEL]}
    cases = [
        (anchored_scorer(engine), Task.VIDEO_UNDERSTANDING, clip, "no anchors of video_understanding, only of image_under"),
        (anchored_scorer(engine, anchors=alike), Task.IMAGE_UNDERSTANDING, QUESTION, "are of one quality"),
        (anchored_scorer(engine, instant_calibration=one_map), Task.IMAGE_UNDERSTANDING, QUESTION, "not calibrated for image_under"),
        (anchored_scorer(engine), Task.IMAGE_UNDERSTANDING, {**QUESTION, "text": "\ud800"}, "lone surrogate"),
        (anchored_scorer(engine), Task.IMAGE_UNDERSTANDING, {**QUESTION, "candidate": 5}, "a int; it must be a string"),
        (anchored_scorer(engine), Task.IMAGE_UNDERSTANDING, {**QUESTION, "text": None}, "a NoneType; it must be a string"),
    ]  # fmt: skip
    for own, task, question, words in cases:
        found = own.score(task=task, **question, against="anchors")
        assert (found.status, found.score, found.calibrated) == (Status.BAD_RECORD, None, False)
        assert words in found.detail
        assert "\n" not in found.detail
        assert (found.against, found.contract) == ("anchors", None)
    assert not engine.asked
