"""Figures about judgements. Unreadable judgements are wrong, and counted."""

from urt_core.metrics.accuracy import (
    PairwiseAccuracy,
    PositionConsistency,
    pairwise_accuracy,
    position_consistency,
    verdict_of,
)
from urt_core.metrics.calibration import Calibration, CalibrationBin, calibration
from urt_core.metrics.intervals import (
    McNemar,
    PairedDifference,
    mcnemar,
    paired_bootstrap,
    paired_difference,
    share_interval,
    wilson_interval,
)
from urt_core.metrics.ties import ThresholdAccuracy, threshold_accuracy

__all__ = [
    "Calibration",
    "CalibrationBin",
    "McNemar",
    "PairedDifference",
    "PairwiseAccuracy",
    "PositionConsistency",
    "ThresholdAccuracy",
    "calibration",
    "mcnemar",
    "paired_bootstrap",
    "paired_difference",
    "pairwise_accuracy",
    "position_consistency",
    "share_interval",
    "threshold_accuracy",
    "verdict_of",
    "wilson_interval",
]
