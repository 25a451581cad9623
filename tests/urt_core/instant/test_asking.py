"""Pairs asked at once and, where that is not sure enough, with reasoning."""

import math

import pytest

from tests.urt_core.instant.instant_judge import CALIBRATED, PIXEL, SURE, UNSURE, Judge, pair, verdict
from urt_core import Completion, FinishReason, Preference, Scorer, Status, Task
from urt_core.instant import Bounds, InstantCalibration


def test_auto_reasons_where_it_is_not_sure_and_says_so():
    engine = Judge({"sure": SURE, "unsure": UNSURE, "surer": SURE})
    scorer = Scorer(engine=engine, instant_calibration=CALIBRATED, mode="auto", bounds=(0.1, 0.9))
    keys = ("sure", "unsure", "surer")
    found = list(scorer.compare_batch([pair(scorer, key) for key in keys]))
    assert [(comparison.key, comparison.mode) for comparison in found] == [
        ("sure", "instant"), ("unsure", "reason"), ("surer", "instant"),
    ]  # fmt: skip
    assert sorted(engine.asked) == sorted([(key, "direct") for key in keys for _ in range(2)] + [("unsure", "v1")] * 2)
    reasoned = found[1]
    raw = 0.65
    assert reasoned.instant_probability == pytest.approx(math.sqrt(raw) / (math.sqrt(raw) + math.sqrt(1 - raw)))
    assert reasoned.margin == 6
    assert reasoned.to_json()["instant_probability"] == reasoned.instant_probability


async def _all(results):
    return [result async for result in results]


def test_asynchronously_it_is_the_same():
    import asyncio

    scorer = Scorer(engine=Judge({"a": SURE, "b": UNSURE}), instant_calibration=CALIBRATED, mode="auto")
    found = asyncio.run(_all(scorer.acompare_batch([pair(scorer, "a"), pair(scorer, "b")])))
    assert [comparison.mode for comparison in found] == ["instant", "reason"]
    one = asyncio.run(
        scorer.acompare(
            task=Task.IMAGE_UNDERSTANDING, text="q", first="a", second="b", media=PIXEL, key="a", mode="reason"
        )
    )
    assert one.preference is Preference.FIRST
    assert one.mode == ""


def test_bounds_decide_how_many_are_reasoned_about():
    def modes(bounds) -> list[str]:
        scorer = Scorer(engine=Judge({"a": SURE, "b": UNSURE}), instant_calibration=CALIBRATED)
        pairs = [pair(scorer, "a"), pair(scorer, "b")]
        return [found.mode for found in scorer.compare_batch(pairs, mode="auto", bounds=bounds)]

    assert modes((0.0, 1.0)) == ["reason", "reason"]
    assert modes((0.5, 0.5)) == ["instant", "instant"]
    assert modes(Bounds(low=0.4, high=0.6)) == ["instant", "reason"]


@pytest.mark.parametrize(
    ("answers", "mode"),
    [
        ((Completion(text="a cat"), verdict(2, 0.99)), "reason"),
        ((Completion(text="Answer 1 is", finish_reason=FinishReason.LENGTH), verdict(2, 0.99)), "reason"),
        ((Completion(text="", finish_reason=FinishReason.HTTP_ERROR),) * 2, "instant"),
        ((Completion(text="Answer 1 is better."), Completion(text="Answer 2 is better.")), "reason"),
    ],
    ids=["unreadable", "too long", "no answer at all", "an engine without log-probabilities"],
)
def test_what_can_not_be_trusted_is_reasoned_about(answers, mode):
    scorer = Scorer(engine=Judge({"pair": answers}), instant_calibration=CALIBRATED)
    comparison = next(scorer.compare_batch([pair(scorer, "pair")], mode="auto"))
    assert comparison.mode == mode
    assert (comparison.status is Status.OK) == (mode == "reason")
    assert not comparison.calibrated


def test_a_task_without_a_map_is_reasoned_about():
    other = InstantCalibration(tasks={"image_generation": CALIBRATED.tasks["image_understanding"]})
    scorer = Scorer(engine=Judge({"pair": SURE}), instant_calibration=other)
    comparison = next(scorer.compare_batch([pair(scorer, "pair")], mode="auto"))
    assert comparison.mode == "reason"
    assert comparison.instant_probability is None, "a raw probability is not given as a calibrated one"
