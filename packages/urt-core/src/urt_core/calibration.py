"""A map from a judge's raw probability to the share of pairs on which it is right, fitted on labelled comparisons."""

import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Self

from urt_core.comparison import Comparison, ProbabilityMethod
from urt_core.engines import Status
from urt_core.errors import ConfigError, DataError
from urt_core.records import Preference


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """Monotone, piecewise linear, and symmetric: exchanging the candidates turns p into 1 - p before and after.

    Calibration(method=ProbabilityMethod.MARGIN, points=((0.1, 0.2), (0.5, 0.5), (0.9, 0.8)))
    """

    method: ProbabilityMethod
    """The raw probability it was fitted on; it applies to no other."""
    points: tuple[tuple[float, float], ...]
    """(raw, calibrated), ascending; constant beyond the ends."""

    def __post_init__(self) -> None:
        check_points(self.points)

    def __call__(self, probability: float) -> float:
        return interpolate(self.points, probability)

    def apply(self, comparison: Comparison) -> Comparison:
        """The comparison with its probability calibrated; one made by another method is left as it is."""
        if comparison.probability_first is None or comparison.probability_method is not self.method:
            return comparison
        return replace(comparison, probability_first=self(comparison.probability_first))

    @classmethod
    def fit(cls, comparisons: Sequence[Comparison], labels: Sequence[Preference], *, method: ProbabilityMethod) -> Self:
        """Isotonic regression (pool adjacent violators) of "the first candidate is better" on the raw probability.

        Each pair counts in both orders, which makes the map symmetric. Tied labels and failed comparisons are left out.
        """
        samples = []
        for comparison, label in zip(comparisons, labels, strict=True):
            usable = comparison.status is Status.OK and comparison.probability_method is method
            if usable and label is not Preference.TIE and comparison.probability_first is not None:
                # Rounded, so that 1 - p of one pair and p of another meet in one point.
                p, outcome = round(comparison.probability_first, 12), float(label is Preference.FIRST)
                samples += [(p, outcome), (round(1 - p, 12), 1 - outcome)]
        if not samples:
            raise DataError(f"no readable comparison by {method} with a label that is no tie; nothing to fit")
        return cls(method=method, points=pool_adjacent_violators(samples))

    def save(self, path: str | PathLike[str]) -> None:
        value = {"method": str(self.method), "points": [list(point) for point in self.points]}
        Path(path).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
            points = tuple((float(raw), float(calibrated)) for raw, calibrated in value["points"])
            return cls(method=ProbabilityMethod(value["method"]), points=points)
        except (OSError, ValueError, KeyError, TypeError, OverflowError) as error:
            raise ConfigError(f"calibration {path}: not readable ({error}); write it with Calibration.save") from error


def check_points(points: Sequence[tuple[float, float]]) -> None:
    raw, calibrated = [p for p, _ in points], [p for _, p in points]
    if not points or raw != sorted(set(raw)) or calibrated != sorted(calibrated):
        raise ConfigError("calibration points must ascend, strictly in the raw probability; fit them again")
    if not all(0 <= value <= 1 for value in raw + calibrated):
        raise ConfigError("calibration points must lie within 0..1; fit them again")


def interpolate(points: Sequence[tuple[float, float]], probability: float) -> float:
    """Linear between the points, constant beyond the ends."""
    raw = [p for p, _ in points]
    right = bisect_right(raw, probability)
    if right == 0:
        return points[0][1]
    if right == len(raw):
        return points[-1][1]
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    return y0 + (y1 - y0) * (probability - x0) / (x1 - x0)


def pool_adjacent_violators(samples: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Least-squares monotone fit (Barlow et al. 1972); one point per block, at the block's mean raw probability."""
    blocks: list[tuple[float, float, int]] = []
    """(sum of raw, sum of outcomes, size), with ascending mean outcome."""
    outcomes_of: dict[float, list[float]] = {}
    for raw, outcome in samples:
        outcomes_of.setdefault(raw, []).append(outcome)
    for raw, outcomes in sorted(outcomes_of.items()):
        total, won, size = raw * len(outcomes), sum(outcomes), len(outcomes)
        while blocks and blocks[-1][1] / blocks[-1][2] >= won / size:
            before = blocks.pop()
            total, won, size = total + before[0], won + before[1], size + before[2]
        blocks.append((total, won, size))
    return tuple((raw / size, outcome / size) for raw, outcome, size in blocks)
