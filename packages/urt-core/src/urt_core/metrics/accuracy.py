"""Accuracy over pairs with an honest denominator, and agreement between the two orders of presentation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from urt_core.errors import ConfigError
from urt_core.judgement import Judgement, ParseFailure
from urt_core.metrics.intervals import require_same_length, wilson_interval
from urt_core.records import Preference

Prediction = Preference | Judgement | ParseFailure | None
"""A verdict, or None or a failure where there is none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PairwiseAccuracy:
    """Accuracy over pairs; a pair without a readable verdict counts as wrong.

    PairwiseAccuracy(n_total=200, n_scored=197, n_failed=3, n_correct=146, n_excluded=12, accuracy=0.73)
    """

    n_total: int
    """Pairs in the denominator."""
    n_scored: int
    """Pairs with a readable verdict."""
    n_failed: int
    """Pairs without one: n_total - n_scored."""
    n_correct: int
    n_excluded: int
    """Pairs left out because their label is a tie."""
    accuracy: float
    """n_correct / n_total; NaN when there is no pair."""

    @property
    def failure_rate(self) -> float:
        return self.n_failed / self.n_total if self.n_total else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson interval at 95 %."""
        return wilson_interval(self.n_correct, self.n_total)


def verdict_of(prediction: Prediction) -> Preference | None:
    """The verdict of a prediction, None where it could not be read."""
    if isinstance(prediction, Judgement):
        return prediction.verdict
    if prediction is None or isinstance(prediction, ParseFailure):
        return None
    return Preference(prediction)


def pairwise_accuracy(
    predictions: Sequence[Prediction],
    labels: Sequence[Preference],
    *,
    ties: Literal["exclude", "include"] = "exclude",
) -> PairwiseAccuracy:
    """Share of pairs whose verdict is the label. `exclude` leaves out pairs labelled as ties ("diff" in the
    benchmarks); `include` keeps them, and a tie is right only where the label is a tie ("tau").

    A predicted tie on a decisive pair is wrong in both. Unreadable predictions are wrong and counted.
    """
    require_same_length(predictions, labels)
    if ties not in ("exclude", "include"):
        raise ConfigError(f"ties is {ties!r}; allowed: 'exclude', 'include'")
    kept = [
        (verdict_of(prediction), Preference(label))
        for prediction, label in zip(predictions, labels, strict=True)
        if ties == "include" or Preference(label) is not Preference.TIE
    ]
    n_scored = sum(verdict is not None for verdict, _ in kept)
    n_correct = sum(verdict is label for verdict, label in kept)
    return PairwiseAccuracy(
        n_total=len(kept),
        n_scored=n_scored,
        n_failed=len(kept) - n_scored,
        n_correct=n_correct,
        n_excluded=len(labels) - len(kept),
        accuracy=n_correct / len(kept) if kept else math.nan,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class PositionConsistency:
    """How verdicts behave when the candidates change places.

    PositionConsistency(n_total=100, n_scored=98, consistency=0.81, first_pick_rate=0.56)
    """

    n_total: int
    n_scored: int
    """Pairs with a readable verdict in both orders."""
    consistency: float
    """Share of `n_scored` where both orders prefer the same candidate."""
    first_pick_rate: float
    """Share of decisive verdicts, over both orders, for the candidate shown first; 0.5 is unbiased."""


def position_consistency(given: Sequence[Prediction], swapped: Sequence[Prediction]) -> PositionConsistency:
    """Agreement between the verdicts in the given order and those with the candidates exchanged (as stated, not
    swapped back)."""
    require_same_length(given, swapped)
    both = [
        (one, two)
        for one, two in zip(map(verdict_of, given), map(verdict_of, swapped), strict=True)
        if one is not None and two is not None
    ]
    decisive = [verdict for pair in both for verdict in pair if verdict is not Preference.TIE]
    agree = sum(one is two.swap() for one, two in both)
    return PositionConsistency(
        n_total=len(given),
        n_scored=len(both),
        consistency=agree / len(both) if both else math.nan,
        first_pick_rate=decisive.count(Preference.FIRST) / len(decisive) if decisive else math.nan,
    )
