"""Checks of arguments: each error names the argument, its value and what is allowed."""

import math

import pytest
import torch

from urt_kernels import checks


def test_fp64_wins_and_everything_else_is_fp32() -> None:
    half, double = torch.empty(1, dtype=torch.bfloat16), torch.empty(1, dtype=torch.float64)
    assert checks.compute_dtype(half, None) is torch.float32
    assert checks.compute_dtype(half, double) is torch.float64


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
def test_a_positive_number_is_positive_and_finite(value: float) -> None:
    with pytest.raises(ValueError, match=r"eps=.*finite number above 0"):
        checks.check_positive("eps", value)


def test_targets_are_inside_the_vocabulary_or_ignored() -> None:
    checks.check_targets(torch.tensor([0, 9, -100]), 10, -100)
    with pytest.raises(ValueError, match="targets holds 10: allowed are 0 to 9, and -100 for a row to ignore"):
        checks.check_targets(torch.tensor([0, 10]), 10, -100)
    with pytest.raises(ValueError, match="targets holds -100: allowed are 0 to 9"):
        checks.check_targets(torch.tensor([-100]), 10, None)


def test_a_temperature_is_one_number_or_one_for_each_row() -> None:
    targets = torch.zeros(2, 3, dtype=torch.long)
    assert checks.check_temperature(torch.tensor(0.5), targets) == (0.5, None)
    one, rows = checks.check_temperature(torch.full((2, 3), 0.7), targets)
    assert one == 1.0
    assert rows is not None
    assert rows.shape == (2, 3)
    for wrong in (torch.ones(3), torch.zeros(2, 3), torch.full((2, 3), math.nan)):
        with pytest.raises(ValueError, match="temperature"):
            checks.check_temperature(wrong, targets)


def test_shapes_types_and_choices_are_named() -> None:
    with pytest.raises(ValueError, match=r"mask has shape \[2\]: it must be \[3\] \(one for each row\)"):
        checks.check_shape("mask", torch.empty(2), (3,), meaning="one for each row")
    with pytest.raises(ValueError, match="targets has dtype float32: allowed are int32, int64"):
        checks.check_dtype("targets", torch.empty(1), checks.INTEGERS)
    with pytest.raises(ValueError, match="kl='k4': allowed are k1, k2"):
        checks.check_choice("kl", "k4", ("k1", "k2"))
