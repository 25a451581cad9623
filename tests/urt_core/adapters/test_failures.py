"""A sample that could not be judged gets what the user asked for, and never a number by accident."""

import logging
import math

import pytest

from urt_core import Status
from urt_core.adapters import FailureTally
from urt_core.adapters.failures import FailurePolicy, apply_policy, policy_without_group
from urt_core.errors import ConfigError, EngineError

VALUES = [0.2, None, 0.6, None, 0.9]
STATUSES = [Status.OK, Status.TIMEOUT, Status.OK, Status.REFUSED, Status.OK]
GROUPS = ["a", "a", "a", "b", "c"]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("nan", [0.2, math.nan, 0.6, math.nan, 0.9]),
        ("tie", [0.2, 0.5, 0.6, 0.5, 0.9]),
        # The mean of its group moves nothing; a group without any judged sample has none.
        ("drop", [0.2, 0.4, 0.6, math.nan, 0.9]),
    ],
)
def test_policies(policy, expected):
    found = apply_policy(VALUES, STATUSES, policy=FailurePolicy(policy), groups=GROUPS)
    assert found == pytest.approx(expected, nan_ok=True)


def test_raise_says_how_many_and_why():
    with pytest.raises(EngineError, match=r"2 of 5 samples .*'timeout': 1, 'refused': 1"):
        apply_policy(VALUES, STATUSES, policy=FailurePolicy.RAISE, groups=GROUPS)
    assert apply_policy([0.5], [Status.OK], policy=FailurePolicy.RAISE, groups=["a"]) == [0.5]


def test_a_dropped_sample_has_advantage_zero():
    rewards = apply_policy(VALUES[:3], STATUSES[:3], policy=FailurePolicy.DROP, groups=GROUPS[:3])
    mean = sum(rewards) / 3
    assert rewards[1] - mean == pytest.approx(0)


def test_trainers_that_show_one_sample_cannot_drop():
    with pytest.raises(ConfigError, match="needs the sample's group, but so it is"):
        policy_without_group("drop", "so it is")
    assert policy_without_group("nan", "") is FailurePolicy.NAN


def test_the_failure_rate_is_counted_and_logged(caplog):
    tally = FailureTally(name="win_rate")
    with caplog.at_level(logging.WARNING, logger="urt"):
        tally.add([Status.OK] * 6)
        assert not caplog.records
        tally.add([Status.OK, Status.TIMEOUT])
    assert tally.rate == pytest.approx(1 / 8)
    assert caplog.messages == ["win_rate: 1 of 2 samples could not be judged (timeout 1); 12.50 % of 8 so far"]
