"""Settings of the cold start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from urt_train.config.stage import ImitationConfig


@dataclass(kw_only=True, slots=True)
class ColdStartConfig(ImitationConfig):
    """Stage 1: learn the format from a teacher's traces (cross-entropy on the completion)."""

    path: ClassVar[str] = "cold_start"
