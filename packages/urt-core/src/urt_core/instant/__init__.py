"""Instant judgements: the verdict alone, its probability as a first-class result.

anchors.py       candidates of known strength that travel with a judge; anchored.py: the score of a candidate against them
calibration.py   what a raw probability is worth, by task; written into judge.json
modes.py         instant, reason or auto: how a pair is asked, and which pairs are reasoned about
"""

from urt_core.instant.anchors import Anchor, AnchorSet
from urt_core.instant.calibration import CalibrationKind, InstantCalibration, TaskCalibration
from urt_core.instant.modes import Bounds, Mode

__all__ = ["Anchor", "AnchorSet", "Bounds", "CalibrationKind", "InstantCalibration", "Mode", "TaskCalibration"]
