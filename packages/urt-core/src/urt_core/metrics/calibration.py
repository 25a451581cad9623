"""Whether stated probabilities mean what they say."""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

from urt_core.errors import ConfigError
from urt_core.metrics.intervals import require_same_length

DRAWS = 200
"""Of outcomes from the stated probabilities, for the calibration error of chance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CalibrationBin:
    """One bar of a reliability diagram: CalibrationBin(low=0.6, high=0.8, n=41, mean_probability=0.71,
    frequency=0.63)."""

    low: float
    high: float
    n: int
    mean_probability: float
    frequency: float
    """How often the event happened."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Calibration(n=200, ece=0.043, brier=0.18, bins=(CalibrationBin(low=0.0, high=0.0667, ...), ...))."""

    n: int
    ece: float
    brier: float
    bins: tuple[CalibrationBin, ...]
    """The bins that hold anything."""


def calibration(probabilities: Sequence[float], outcomes: Sequence[bool], *, num_bins: int = 15) -> Calibration:
    """Expected calibration error over equal-width bins, sum_b n_b / n * |frequency_b - mean probability_b|
    (Guo et al. 2017, arXiv 1706.04599, eq. 3, with the probability of the event in place of the confidence), and the
    Brier score, mean of (probability - outcome)^2 (Brier 1950)."""
    n = require_same_length(probabilities, outcomes)
    if num_bins < 1:
        raise ConfigError(f"num_bins is {num_bins}; it must be at least 1")
    if bad := [p for p in probabilities if not 0.0 <= p <= 1.0]:
        raise ConfigError(f"{len(bad)} probabilities lie outside [0, 1], such as {bad[0]}; leave unscored pairs out")
    members: list[list[tuple[float, int]]] = [[] for _ in range(num_bins)]
    for probability, outcome in zip(probabilities, outcomes, strict=True):
        members[min(int(probability * num_bins), num_bins - 1)].append((probability, int(outcome)))
    bins = tuple(
        CalibrationBin(
            low=index / num_bins,
            high=(index + 1) / num_bins,
            n=len(inside),
            mean_probability=math.fsum(p for p, _ in inside) / len(inside),
            frequency=sum(happened for _, happened in inside) / len(inside),
        )
        for index, inside in enumerate(members)
        if inside
    )
    if not n:
        return Calibration(n=0, ece=math.nan, brier=math.nan, bins=())
    ece = math.fsum(item.n / n * abs(item.frequency - item.mean_probability) for item in bins)
    brier = math.fsum((p - int(happened)) ** 2 for p, happened in zip(probabilities, outcomes, strict=True)) / n
    return Calibration(n=n, ece=ece, brier=brier, bins=bins)


def error_of_chance(probabilities: Sequence[float], *, num_bins: int, seed: int) -> float:
    """Mean calibration error of outcomes that are drawn from these probabilities: what is left of it on so many where
    every probability is right."""
    draw = random.Random(seed)
    return mean(
        calibration(probabilities, [draw.random() < p for p in probabilities], num_bins=num_bins).ece
        for _ in range(DRAWS)
    )
