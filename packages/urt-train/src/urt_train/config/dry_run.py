"""Settings of urt-train dry_run: the machine that a recipe is computed for, and what is assumed of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from urt_train.config.checks import above, at_least

EVALUATION = "evaluation"


@dataclass(kw_only=True, slots=True)
class DryRunConfig:
    """What urt-train dry_run is told, because the machine it runs on need not have a GPU or the data."""

    path: ClassVar[str] = "dry_run"
    devices: int = 1
    """Devices of all nodes together (the nodes: trainer.num_nodes)."""
    stages: list[str] = field(default_factory=list)
    """What is computed: stages, and evaluation; empty: the stages of the recipe, and evaluation."""
    device_memory_gib: float = 80.0
    """Memory of one device in GiB."""
    reserve_gib: float = 2.0
    """Left free on each device for what is not tensors: CUDA's context, NCCL, fragments. An assumption."""
    caption_tokens: int = 60
    """Tokens of a caption or question. An assumption about the data, as the next one is."""
    answer_tokens: int = 250
    """Tokens of each of two answers to compare."""
    completion_tokens: int | None = None
    """Tokens of a judgement; null takes the longest that the stage allows, which is what memory has to suffice for."""

    def __post_init__(self) -> None:
        at_least(self, 1, "devices", "caption_tokens", "answer_tokens", "completion_tokens")
        above(self, 0, "device_memory_gib")
        at_least(self, 0, "reserve_gib")
