"""Settings of internalising."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import ClassVar

from urt_train.config.checks import above, at_least, fail, within
from urt_train.config.choices import Batching
from urt_train.config.stage import Decoding, FineTuningConfig, Holds, RoundPlan

UNLABELLED = "unlabelled|pool|train"
"""Split that is judged where none is named."""


class Targets(StrEnum):
    """What a direct answer is taught as."""

    soft = auto()
    """The distribution of the votes, in both orders."""
    hard = auto()
    """The candidate that most votes name; pairs without one are left out."""
    on_policy = auto()
    """What the judge, as it is in that step, answers behind its reasoning for the pair, in each order by itself."""


class Removal(StrEnum):
    """How the reasoning in front of a direct answer goes away."""

    at_once = auto()
    """It is never there."""
    front = auto()
    """Token by token from its front, until the answer stands alone (arXiv 2405.14838)."""


class CalibrationBy(StrEnum):
    """The map from raw to calibrated probabilities (`urt_core.instant.CalibrationKind`)."""

    platt = auto()
    isotonic = auto()


@dataclass(kw_only=True, slots=True)
class InternaliseConfig(FineTuningConfig):
    """After the last stage: the judge learns to answer at once what it has reasoned out, and what its answer is worth."""

    path: ClassVar[str] = "internalise"
    split: str | None = None
    """Split to judge; null takes unlabelled where it is named (`data.unlabelled`), else pool, else train. Labels are not read."""
    pairs_per_task: int | None = None
    """At most this many pairs of each task; null judges them all."""
    num_samples: int = 2
    """Judgements of each pair in each order: the votes."""
    temperature: float = 0.8
    """Sampling temperature of the votes; 0 for one vote in each order."""
    top_p: float = 1.0
    """Smallest set of tokens with this probability is sampled from."""
    judge_batch_size: int = 32
    """Pairs judged in one engine call."""
    targets: Targets = Targets.soft
    """soft (the distribution of the votes), hard (what most of them name) or on_policy (what the judge of the step answers behind its
    reasoning)."""
    removal: Removal = Removal.at_once
    """at_once, or front: the reasoning stands in front of the answer at first and loses its first tokens step by step."""
    removal_until: float = 0.6
    """Share of the steps behind which nothing of the reasoning is left, with `removal=front`."""
    replay: float = 0.25
    """Judgements of its own, with their reasoning, that are imitated beside it for each direct answer, so that reasoning is kept."""
    calibrate_on: str | None = "validation"
    """Labelled held-out split on which the instant probability is calibrated behind training; null leaves it uncalibrated."""
    calibration: CalibrationBy = CalibrationBy.platt
    """platt (one slope for each task) or isotonic (hundreds of pairs for each task)."""
    num_anchors: int = 8
    """Anchors of each task that are picked from `calibrate_on` for scores of single candidates, 3 to 32; 0 picks none."""
    batching: Batching = Batching.shared_prefix
    """shared_prefix (the prompt once for both verdicts) or padded (the reference path)."""

    def __post_init__(self) -> None:
        FineTuningConfig.__post_init__(self)
        at_least(self, 1, "pairs_per_task", "num_samples", "judge_batch_size")
        at_least(self, 0, "temperature", "replay")
        above(self, 0, "top_p", "removal_until")
        within(self, 0, 1, "top_p", "removal_until")
        if self.num_anchors:
            within(self, 3, 32, "num_anchors")
        if self.num_samples > 1 and self.temperature == 0:
            fail(
                self, "temperature", "a number above 0, or internalise.num_samples=1 for one greedy vote in each order"
            )
        learnt_from = (self.split or UNLABELLED).split("|")
        if self.calibrate_on is not None and self.calibrate_on in ("", *learnt_from):
            fail(
                self,
                "calibrate_on",
                f"a labelled split beside {', '.join(learnt_from)}, which are learnt from, or null",
            )

    def plan(self, *, num_ranks: int) -> RoundPlan:
        """`batch_size` and `micro_batch_size` count pairs in one order, which are two short sequences each."""
        records = self.per_rank("batch_size", num_ranks=num_ranks)
        size = min(self.micro_batch_size, records)
        return RoundPlan(
            records_per_rank=records,
            batch_size=2 * size,
            batches_per_round=math.ceil(records / size),
            steps_per_round=1,
        )

    def holds(self, *, num_ranks: int) -> Holds:
        return Holds(
            group=2,
            is_packed=self.batching is Batching.shared_prefix,
            decoding=Decoding(
                prompts=2 * self.judge_batch_size,
                group=self.num_samples,
                setting="internalise.judge_batch_size",
                per_setting=2,
                top_p=self.top_p,
            ),
        )
