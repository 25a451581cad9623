"""Settings of DPO."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from urt_train.config.checks import above
from urt_train.config.choices import Batching
from urt_train.config.stage import FineTuningConfig, Holds, RoundPlan


@dataclass(kw_only=True, slots=True)
class DPOConfig(FineTuningConfig):
    """Stage 3 in another way: direct preference optimisation (arXiv 2305.18290) between the right and the wrong
    judgements of a pair."""

    path: ClassVar[str] = "dpo"
    learning_rate: float = 5e-7
    """Peak learning rate; the lowest that arXiv 2305.18290 (1e-6) and its followers use."""
    beta: float = 0.1
    """Weight of the distance to the reference policy; 0.1 as in arXiv 2305.18290, appendix B, and in
    UnifiedReward-Flex."""
    batching: Batching = Batching.shared_prefix
    """shared_prefix (the prompt once for both judgements) or padded (the reference path)."""

    def __post_init__(self) -> None:
        FineTuningConfig.__post_init__(self)
        above(self, 0, "beta")

    def plan(self, *, num_ranks: int) -> RoundPlan:
        """`batch_size` and `micro_batch_size` count pairs, which are two sequences each."""
        records = self.per_rank("batch_size", num_ranks=num_ranks)
        pairs = min(self.micro_batch_size, records)
        return RoundPlan(
            records_per_rank=records,
            batch_size=2 * pairs,
            batches_per_round=math.ceil(records / pairs),
            steps_per_round=1,
        )

    def holds(self, *, num_ranks: int) -> Holds:
        return Holds(group=2, is_packed=self.batching is Batching.shared_prefix, has_reference=True)
