"""What a raw probability is worth: fits against other ways to the same optimum, symmetry, and what is refused."""

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urt_core import Task
from urt_core.errors import ConfigError, DataError
from urt_core.instant.calibration import (
    CalibrationKind,
    InstantCalibration,
    TaskCalibration,
    fit_slope,
    fit_task,
    log_odds,
)
from urt_core.metrics import calibration

KINDS = list(CalibrationKind)


def rows_of(seed: int, number: int, *, sharpness: float = 1.0) -> list[tuple[float, bool]]:
    """Pairs whose first candidate is the better one with a probability of sigmoid(x), stated as sigmoid(sharpness x)."""
    rng = random.Random(seed)
    true = [rng.gauss(0, 2) for _ in range(number)]
    return [(1 / (1 + math.exp(-sharpness * x)), rng.random() < 1 / (1 + math.exp(-x))) for x in true]


def log_likelihood(slope: float, rows: list[tuple[float, bool]]) -> float:
    """Of Platt's targets, each pair in both orders, term by term."""
    high = (len(rows) + 1) / (len(rows) + 2)
    total = 0.0
    for p, won in rows:
        for raw, label in ((p, won), (1 - p, not won)):
            x = slope * log_odds(raw)
            target = high if label else 1 - high
            total -= target * math.log1p(math.exp(-x)) + (1 - target) * math.log1p(math.exp(x))
    return total


@pytest.mark.parametrize("seed", range(3))
def test_the_slope_is_the_most_likely_one(seed):
    """scipy's minimiser on the sum over both orders, a way that shares no line with Newton's steps on one."""
    from scipy.optimize import minimize_scalar

    rows = rows_of(seed, 200, sharpness=2.0)
    best: Any = minimize_scalar(
        lambda slope: -log_likelihood(slope, rows), bounds=(0.01, 5), method="bounded", options={"xatol": 1e-9}
    )
    assert fit_slope(rows) == pytest.approx(best.x, rel=1e-5)
    assert fit_slope(rows) == pytest.approx(0.5, abs=0.15), "twice too sure: half the log-odds"


@pytest.mark.parametrize("kind", KINDS)
def test_an_overconfident_judge_is_calibrated_on_pairs_that_the_fit_has_not_seen(kind):
    found = fit_task(rows_of(0, 2000, sharpness=3.0), task="image_generation", kind=kind)
    held_out = rows_of(1, 4000, sharpness=3.0)
    before = calibration([p for p, _ in held_out], [won for _, won in held_out]).ece
    after = calibration([found(p) for p, _ in held_out], [won for _, won in held_out]).ece
    assert before > 0.1
    assert after < 0.03  # the bins' own noise at 4,000 pairs is about 0.02


@pytest.mark.parametrize("kind", KINDS)
@given(p=st.floats(0, 1), other=st.floats(0, 1))
def test_a_map_is_symmetric_and_rises(kind, p, other):
    found = MAPS[kind]
    assert found(p) + found(1 - p) == pytest.approx(1, abs=1e-9)
    assert 0 <= found(p) <= 1
    low, high = sorted((p, other))
    assert found(low) <= found(high) + 1e-12


MAPS = {kind: fit_task(rows_of(2, 300, sharpness=2.0), task="image_generation", kind=kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [1, 25])
def test_a_judge_that_is_always_right_is_not_called_certain(kind, number):
    """Platt's targets: the labels of 50 pairs say no more than 51 of 52."""
    found = fit_task([(0.9, True), (0.1, False)] * number, task="image_generation", kind=kind)
    assert found(0.9) == pytest.approx((2 * number + 1) / (2 * number + 2), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_judge_that_goes_by_the_order_is_worth_nothing(kind):
    """0.9 for what is shown first in both orders: 1/2 in the mean, but for the rounding of 1 - 0.9."""
    rows = [((0.9 + (1 - 0.9)) / 2 + noise, won) for noise in (0.0, 1e-16, -1e-16) for won in (True, False)]
    found = fit_task(rows, task="image_generation", kind=kind)
    assert found(0.99) == pytest.approx(0.5, abs=0.01)


def test_a_judge_whose_probabilities_hardly_differ_has_a_steep_map_without_an_overflow():
    found = fit_task([(0.51, True), (0.49, False)] * 100, task="image_generation", kind=CalibrationKind.PLATT)
    assert found.slope is not None
    assert found.slope > 100
    assert (found(0.0), found(1e-4), found(1 - 1e-4)) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("p", [math.nan, math.inf, 1.7, -0.1])
def test_what_is_no_probability_is_named(kind, p):
    with pytest.raises(DataError, match=rf"^a pair of image_generation .* probability {p:g}; it must be a number from"):
        InstantCalibration.fit([("image_generation", one, one < 0.5) for one in (0.1, p, 0.9)], kind=kind)


def test_a_kind_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match=r"kind 'beta'; allowed: platt, isotonic"):
        InstantCalibration.fit([("image_generation", 0.9, True), ("image_generation", 0.1, False)], kind="beta")


def test_a_judge_that_is_wrong_more_often_than_right_is_worth_nothing():
    found = fit_task([(0.9, False), (0.1, True), (0.8, True)] * 20, task="image_generation", kind=CalibrationKind.PLATT)
    assert found(0.99) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_set_with_one_class_is_refused(kind, is_first):
    side = "first" if is_first else "second"
    with pytest.raises(
        DataError, match=rf"^all 3 pairs of image_generation .* have the {side} candidate as the better one"
    ) as error:
        InstantCalibration.fit([(Task.IMAGE_GENERATION, p, is_first) for p in (0.2, 0.7, 0.9)], kind=kind)
    assert "\n" not in str(error.value)


def test_nothing_to_fit_on_is_refused():
    with pytest.raises(DataError, match="nothing to calibrate on"):
        InstantCalibration.fit([], kind="platt")


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_fitted_by_task_and_survives_json(kind):
    rows = [(Task.IMAGE_GENERATION, p, won) for p, won in rows_of(0, 50, sharpness=2)]
    rows += [(Task.VIDEO_UNDERSTANDING, p, won) for p, won in rows_of(1, 80, sharpness=0.5)]
    found = InstantCalibration.fit(rows, kind=kind)
    assert {task: each.num_pairs for task, each in found.tasks.items()} == {
        "image_generation": 50, "video_understanding": 80,
    }  # fmt: skip
    assert found.of("image_generation")(0.9) < found.of(Task.VIDEO_UNDERSTANDING)(0.9)
    again = InstantCalibration.from_json(json.loads(json.dumps(found.to_json())))
    assert again == found
    with pytest.raises(ConfigError, match="not calibrated for image_understanding, only for image_generation, video"):
        found.of(Task.IMAGE_UNDERSTANDING)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"must be an object"),
        ({}, r"needs a map for one task"),
        ({"cooking": {"kind": "platt", "num_pairs": 3, "slope": 1.0}}, r"task 'cooking'"),
        ({"image_generation": {"kind": "magic", "num_pairs": 3, "slope": 1.0}}, r"kind 'magic'; allowed: platt, isotonic"),
        ({"image_generation": {"kind": "platt", "num_pairs": 3}}, r"needs its slope"),
        ({"image_generation": {"kind": "platt", "num_pairs": 3, "slope": 1.0, "points": [[0, 0]]}}, r"alone"),
        ({"image_generation": {"kind": "platt", "num_pairs": 3, "slope": math.nan}}, r"slope nan"),
        ({"image_generation": {"kind": "platt", "num_pairs": 3, "slope": 10**400}}, r"slope 1000"),
        ({"image_generation": {"kind": "isotonic", "num_pairs": 3, "points": [[0, 10**400]]}}, r"pairs of numbers"),
        ({"image_generation": {"kind": "platt", "num_pairs": 3, "slope": -1.0}}, r"slope -1"),
        ({"image_generation": {"kind": "platt", "num_pairs": 0, "slope": 1.0}}, r"num_pairs 0"),
        ({"image_generation": {"kind": "isotonic", "num_pairs": 3, "points": [[0.5, 0.4], [0.4, 0.6]]}}, r"ascend"),
        ({"image_generation": {"kind": "isotonic", "num_pairs": 3, "points": [[0.5, 2]]}}, r"within 0..1"),
        ({"image_generation": {"kind": "isotonic", "num_pairs": 3, "points": "all"}}, r"pairs of numbers"),
        ({"image_generation": {"kind": "isotonic", "num_pairs": 3, "points": [["0.5", "0.5"]]}}, r"pairs of numbers"),
        ({"image_generation": {"kind": "isotonic", "num_pairs": 3, "points": [[0.1, 0.2], [0.9, 0.3]]}}, r"symmetric"),
        ({"image_generation": {"kind": "platt", "num_pairs": 3, "slop": 1.0}}, r"slop"),
    ],
)  # fmt: skip
def test_a_file_that_holds_something_else_is_one_line(value, message):
    with pytest.raises(ConfigError, match=message) as error:
        InstantCalibration.from_json(value)
    assert "\n" not in str(error.value)


def test_a_map_has_a_kind_of_its_own():
    assert TaskCalibration(kind="platt", num_pairs=1, slope=1.0).kind is CalibrationKind.PLATT  # pyright: ignore[reportArgumentType]
