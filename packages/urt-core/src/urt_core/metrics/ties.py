"""Accuracy with ties of a judge that gives margins: a pair is called a tie where its margin is small."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from urt_core.errors import ConfigError
from urt_core.metrics.intervals import require_same_length
from urt_core.records import Preference


@dataclass(frozen=True, kw_only=True, slots=True)
class ThresholdAccuracy:
    """The best accuracy over tie thresholds: ThresholdAccuracy(accuracy=0.66, threshold=1.0, n_total=889, n_failed=4).

    The threshold is chosen on the labels it is scored on, so this is an upper bound, as in the benchmarks that use it.
    """

    accuracy: float
    threshold: float
    """Margins of at most this size are ties."""
    n_total: int
    n_failed: int
    """Pairs without a margin; they count as wrong."""


def threshold_accuracy(
    margins: Sequence[float | None],
    labels: Sequence[Preference],
    *,
    mode: Literal["distinct", "compat"] = "distinct",
) -> ThresholdAccuracy:
    """Three-way accuracy at the best tie threshold ("Ties Matter", Deutsch et al. 2023, arXiv 2305.14324).

    `distinct` tries the thresholds that exist: 0 and each distinct |margin|. `compat` reproduces the script of
    VideoGen-RewardBench, which also stops inside a group of equal |margin|: such a threshold calls some of these pairs
    ties and others not, so its figure is too high and depends on the order of the rows. Use it only to compare.
    """
    n = require_same_length(margins, labels)
    if mode not in ("distinct", "compat"):
        raise ConfigError(f"mode is {mode!r}; allowed: 'distinct', 'compat'")
    rows = [(abs(margin), _right(margin, label), label is Preference.TIE) for margin, label in _scored(margins, labels)]
    rows.sort(key=lambda row: row[0])
    correct = sum(right for _, right, _ in rows)
    best, threshold = 0, 0.0
    if not rows or rows[0][0] > 0.0 or mode == "compat":
        best = correct
    for index, (size, right, is_tie) in enumerate(rows):
        correct += is_tie - right
        ends_group = index + 1 == len(rows) or rows[index + 1][0] != size
        if (ends_group or mode == "compat") and correct > best:
            best, threshold = correct, size
    return ThresholdAccuracy(
        accuracy=best / n if n else math.nan, threshold=threshold, n_total=n, n_failed=n - len(rows)
    )


def _scored(margins: Sequence[float | None], labels: Sequence[Preference]) -> list[tuple[float, Preference]]:
    pairs = zip(margins, labels, strict=True)
    return [(margin, Preference(label)) for margin, label in pairs if margin is not None and not math.isnan(margin)]


def _right(margin: float, label: Preference) -> bool:
    """Whether the sign of the margin is the label."""
    return (margin > 0 and label is Preference.FIRST) or (margin < 0 and label is Preference.SECOND)
