"""Stage 1: imitate a teacher's judgements (arXiv 2505.03318, cold start)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.spec import StageInputs, StageSpec

if TYPE_CHECKING:
    from urt_train.stages.cold_start.module import ColdStart


def build(inputs: StageInputs) -> ColdStart:
    from urt_train.stages.cold_start.module import ColdStart

    return ColdStart(inputs.policy, inputs.settings, plan=inputs.plan, num_steps=inputs.num_steps)


SPEC = StageSpec(
    name="cold_start", title="cold start", config=ColdStartConfig, reads="cold_start", by_default=True, build=build
)
