"""What the raw probability of an instant verdict is worth: a map for each task, fitted on labelled pairs, that travels in judge.json.

Each map is symmetric: exchanging the candidates turns p into 1 - p before and after.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from urt_core.calibration import check_points, interpolate, pool_adjacent_violators
from urt_core.errors import ConfigError, DataError
from urt_core.records import Task

MARGIN = 1e-6
"""Raw probabilities are kept this far from 0 and 1, where their log-odds have no end."""
LEAST_SLOPE = 1e-3
SYMMETRIC_TO = 1e-6
STEPS = 100
"""Newton steps of a fit at most; it needs about ten."""


class CalibrationKind(StrEnum):
    """How a map is fitted."""

    PLATT = "platt"
    """One slope on the log-odds (Platt 1999 without its intercept, which would tell the candidates apart): robust on few pairs."""
    ISOTONIC = "isotonic"
    """Any monotone map (pool adjacent violators): follows any shape, needs hundreds of pairs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskCalibration:
    """The map of one task.

    TaskCalibration(kind=CalibrationKind.PLATT, num_pairs=100, slope=0.71)
    TaskCalibration(kind=CalibrationKind.ISOTONIC, num_pairs=500, points=((0.1, 0.2), (0.9, 0.8)))
    """

    kind: CalibrationKind
    num_pairs: int
    """Labelled pairs that it was fitted on."""
    slope: float | None = None
    """Of platt: log-odds are multiplied by it."""
    points: tuple[tuple[float, float], ...] | None = None
    """Of isotonic: (raw, calibrated), ascending, linear between them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _kind(self.kind))
        if not isinstance(self.num_pairs, int) or isinstance(self.num_pairs, bool) or self.num_pairs < 1:
            raise ConfigError(f"a calibration has num_pairs {self.num_pairs!r:.80}; it must be a whole number above 0")
        given = (self.slope is not None, self.points is not None)
        if given != (self.kind is CalibrationKind.PLATT, self.kind is CalibrationKind.ISOTONIC):
            raise ConfigError(
                f"a calibration of kind {self.kind} needs its slope (platt) or its points (isotonic) alone"
            )
        if self.slope is not None and not (_is_number(self.slope) and self.slope > 0):
            raise ConfigError(f"a calibration has the slope {self.slope!r:.80}; it must be a number above 0")
        if self.points is not None:
            try:
                points = tuple((_number(raw), _number(calibrated)) for raw, calibrated in self.points)
            except (TypeError, ValueError):
                raise ConfigError("calibration points must be pairs of numbers; fit them again") from None
            check_points(points)
            if any(abs(one + other - 1) > SYMMETRIC_TO for one, other in _mirrored(points)):
                raise ConfigError(
                    "calibration points must be symmetric, (1 - raw, 1 - calibrated) beside each (raw, calibrated); fit them again"
                )
            object.__setattr__(self, "points", points)

    def __call__(self, probability: float) -> float:
        if self.points is not None:
            return interpolate(self.points, probability)
        assert self.slope is not None
        return 0.5 + 0.5 * math.tanh(self.slope * log_odds(probability) / 2)

    def to_json(self) -> dict[str, Any]:
        own = {"slope": self.slope} if self.points is None else {"points": [list(point) for point in self.points]}
        return {"kind": str(self.kind), "num_pairs": self.num_pairs, **own}


@dataclass(frozen=True, kw_only=True, slots=True)
class InstantCalibration:
    """The maps of a judge by task.

    InstantCalibration(tasks={"image_generation": TaskCalibration(kind=CalibrationKind.PLATT, num_pairs=100, slope=0.71)})
    """

    tasks: Mapping[str, TaskCalibration]

    def __post_init__(self) -> None:
        if not isinstance(self.tasks, Mapping) or not self.tasks:
            raise ConfigError("a calibration needs a map for one task or more; fit it again")
        for task, found in self.tasks.items():
            if task not in list(Task) or not isinstance(found, TaskCalibration):
                raise ConfigError(
                    f"a calibration names the task {task!r:.80}; allowed: {', '.join(Task)}, each with a map"
                )

    def of(self, task: Task | str) -> TaskCalibration:
        """The map of a task, or the error that says which tasks there are."""
        found = self.tasks.get(str(task))
        if found is None:
            raise ConfigError(
                f"this judge is not calibrated for {task}, only for {', '.join(sorted(self.tasks))}; a raw probability is not given as"
                " a calibrated one: ask with mode='instant' or 'reason', or calibrate it (docs/serving.md)"
            )
        return found

    @classmethod
    def fit(cls, rows: Sequence[tuple[Task | str, float, bool]], *, kind: CalibrationKind | str) -> Self:
        """From (task, raw probability of the first candidate, whether the first is the better one), one row a pair."""
        by_task: dict[str, list[tuple[float, bool]]] = {}
        for task, probability, is_first in rows:
            if not 0 <= probability <= 1:
                raise DataError(
                    f"a pair of {task} to calibrate on has the probability {probability:g}; it must be a number from 0 to 1"
                )
            by_task.setdefault(str(Task(task)), []).append((probability, is_first))
        if not by_task:
            raise DataError("no labelled pair was judged instantly and readably; there is nothing to calibrate on")
        return cls(
            tasks={task: fit_task(found, task=task, kind=_kind(kind)) for task, found in sorted(by_task.items())}
        )

    def to_json(self) -> dict[str, Any]:
        return {task: found.to_json() for task, found in sorted(self.tasks.items())}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if not isinstance(value, Mapping) or not all(isinstance(found, Mapping) for found in value.values()):
            raise ConfigError(f"calibration is {value!r:.80}; it must be an object of maps by task")
        try:
            return cls(tasks={str(task): TaskCalibration(**found) for task, found in value.items()})
        except TypeError as error:
            raise ConfigError(f"calibration: {error}; fit it again") from error


def calibration_known_here(value: Any) -> tuple[Any, list[str]]:
    """What this urt reads of the calibration that a newer one wrote, and the names of the rest. A map of a kind that is
    not known here is left out whole: its task is then not calibrated."""
    if not isinstance(value, Mapping):
        return value, []
    known, unknown = {}, []
    for task, found in value.items():
        kind = found.get("kind") if isinstance(found, Mapping) else None
        if task not in list(Task):
            unknown.append(str(task))
        elif isinstance(kind, str) and kind not in list(CalibrationKind):
            unknown.append(f"{task}.kind {kind!r:.80}")
        elif isinstance(found, Mapping):
            names = {item.name for item in fields(TaskCalibration)}
            known[task] = {name: found[name] for name in names & found.keys()}
            unknown += [f"{task}.{name}" for name in sorted(found.keys() - names)]
        else:
            known[task] = found
    return known or (None if unknown else value), unknown


def fit_task(rows: Sequence[tuple[float, bool]], *, task: str, kind: CalibrationKind) -> TaskCalibration:
    """Each pair counts in both orders, which makes the map symmetric. Labels of one side alone are refused: nobody labels so.

    Labels count as (n + 1) / (n + 2) and 1 / (n + 2) (Platt 1999, section 2.2), n the pairs, so that a judge that is always right on them is
    not called certain.
    """
    firsts = sum(is_first for _, is_first in rows)
    if firsts in (0, len(rows)):
        raise DataError(
            f"all {len(rows)} pairs of {task} to calibrate on have the {'first' if firsts else 'second'} candidate as the better one; that"
            " is a sorted file, not a sample: give pairs in which either side wins"
        )
    if kind is CalibrationKind.ISOTONIC:
        # Rounded, so that 1 - p of one pair and p of another meet in one point.
        both = [(round(p, 12), float(won)) for p, won in rows]
        both += [(round(1 - p, 12), float(not won)) for p, won in rows]
        high = high_label(len(rows))
        # Fitted on 0 and 1, which add up exactly, so that equal blocks are found to be equal.
        points = tuple((raw, 1 - high + (2 * high - 1) * share) for raw, share in pool_adjacent_violators(both))
        return TaskCalibration(kind=kind, num_pairs=len(rows), points=points)
    return TaskCalibration(kind=kind, num_pairs=len(rows), slope=fit_slope(rows))


def fit_slope(rows: Sequence[tuple[float, bool]]) -> float:
    """The slope s that makes the labels most likely under sigmoid(s x), x the raw log-odds of the winner named by the judge, by Newton's
    method; the log-likelihood is concave in s. A judge that is right in no more than half gets a slope near 0, and so does one that names a
    winner in none: its probability is 1/2 but for rounding."""
    pairs = [(abs(log_odds(p)), (p > 0.5) == won) for p, won in rows if round(p, 12) != 0.5]
    if not pairs:
        return LEAST_SLOPE
    high = high_label(len(rows))
    slope = 1.0
    for _ in range(STEPS):
        chances = [(x, 1 / (1 + math.exp(-slope * x)), high if right else 1 - high) for x, right in pairs]
        gradient = math.fsum((target - chance) * x for x, chance, target in chances)
        curvature = math.fsum(chance * (1 - chance) * x * x for x, chance, _ in chances) + 1e-12
        # Half way to 0 at most: the slope stays above it, and Newton's step can't leap over the optimum for good.
        after = max(slope + gradient / curvature, slope / 2)
        if abs(after - slope) < 1e-12 * slope or after < LEAST_SLOPE:
            return max(after, LEAST_SLOPE)
        slope = after
    return slope


def high_label(num_pairs: int) -> float:
    return (num_pairs + 1) / (num_pairs + 2)


def log_odds(probability: float) -> float:
    inside = min(max(probability, MARGIN), 1 - MARGIN)
    return math.log(inside / (1 - inside))


def _kind(kind: object) -> CalibrationKind:
    try:
        return CalibrationKind(kind)
    except ValueError:
        raise ConfigError(
            f"a calibration is of kind {kind!r:.80}; allowed: {', '.join(map(str, CalibrationKind))}"
        ) from None


def _mirrored(points: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Numbers that are 1 together where the map is symmetric."""
    for point, mirrored in zip(points, reversed(points), strict=True):
        yield from zip(point, mirrored, strict=True)


def _number(value: object) -> float:
    if not isinstance(value, int | float) or not _is_number(value):
        raise TypeError
    return float(value)


def _is_number(value: object) -> bool:
    """Whether it is a number that a float holds: JSON has whole numbers of any length."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
