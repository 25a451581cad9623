"""Instant judgements: the verdict alone, its probability as a first-class result.

calibration.py   what a raw probability is worth, by task; written into judge.json
modes.py         instant, reason or auto: how a pair is asked, and which pairs are reasoned about
"""

from urt_core.instant.calibration import CalibrationKind, InstantCalibration, TaskCalibration
from urt_core.instant.modes import Bounds, Mode

__all__ = ["Bounds", "CalibrationKind", "InstantCalibration", "Mode", "TaskCalibration"]
