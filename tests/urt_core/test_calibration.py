"""The calibration map: monotone, symmetric, fitted by pooling violators."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from urt_core import Preference, Status, Task
from urt_core.calibration import Calibration, pool_adjacent_violators
from urt_core.comparison import Comparison, ProbabilityMethod
from urt_core.errors import ConfigError, DataError

MARGIN = ProbabilityMethod.MARGIN


def comparison(probability, *, status=Status.OK, method=MARGIN):
    return Comparison(
        key="k",
        task=Task.IMAGE_GENERATION,
        status=status,
        preference=None if probability is None else Preference.FIRST,
        probability_first=probability,
        probability_method=method,
    )


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 1)), min_size=1, max_size=60))
def test_the_fit_is_the_least_squares_monotone_one(samples):
    samples = [(raw / 10, float(outcome)) for raw, outcome in samples]
    raws = sorted({raw for raw, _ in samples})
    means = [[o for r, o in samples if r == raw] for raw in raws]
    reference = isotonic_regression([sum(m) / len(m) for m in means], weights=[len(m) for m in means]).x
    points = pool_adjacent_violators(samples)
    assert sorted({round(value, 9) for value in reference}) == [round(value, 9) for _, value in points]


def test_an_overconfident_judge_is_pulled_in():
    generator = random.Random(0)
    raw = [generator.choice([0.05, 0.95]) for _ in range(4000)]
    labels = [Preference.FIRST if generator.random() < (0.8 if p > 0.5 else 0.2) else Preference.SECOND for p in raw]
    calibration = Calibration.fit([comparison(p) for p in raw], labels, method=MARGIN)
    assert calibration(0.95) == pytest.approx(0.8, abs=0.02)
    assert calibration(0.95) + calibration(0.05) == pytest.approx(1)
    assert calibration(0.5) == pytest.approx(0.5)
    assert calibration.apply(comparison(0.95)).probability_first == calibration(0.95)
    other = comparison(0.95, method=ProbabilityMethod.VOTES)
    assert calibration.apply(other) is other
    failed = comparison(None, status=Status.REFUSED)
    assert calibration.apply(failed) is failed


def test_save_and_load(tmp_path):
    calibration = Calibration(method=MARGIN, points=((0.1, 0.2), (0.5, 0.5), (0.9, 0.8)))
    calibration.save(tmp_path / "c.json")
    assert Calibration.load(tmp_path / "c.json") == calibration
    assert calibration(0.3) == pytest.approx(0.35)
    (tmp_path / "bad.json").write_text('{"method": "margin", "points": [[0.5, 2.0]]}')
    with pytest.raises(ConfigError, match=r"within 0\.\.1"):
        Calibration.load(tmp_path / "bad.json")
    for text in ("[", f'{{"method": "margin", "points": [[0, 1{"0" * 400}]]}}'):
        (tmp_path / "worse.json").write_text(text)
        with pytest.raises(ConfigError, match="not readable"):
            Calibration.load(tmp_path / "worse.json")


def test_nothing_to_fit():
    with pytest.raises(DataError, match="nothing to fit"):
        Calibration.fit([comparison(0.9)], [Preference.TIE], method=MARGIN)
