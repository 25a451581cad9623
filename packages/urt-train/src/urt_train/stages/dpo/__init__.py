"""In place of GRPO: prefer the judge's right judgement of a pair to its wrong one (DPO, arXiv 2305.18290)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from urt_train.stages.dpo.config import DPOConfig
from urt_train.stages.spec import StageInputs, StageSpec

if TYPE_CHECKING:
    from urt_train.stages.dpo.module import DPO


def build(inputs: StageInputs) -> DPO:
    from urt_train.stages.dpo.module import DPO

    return DPO(inputs.policy, inputs.settings, plan=inputs.plan, num_steps=inputs.num_steps)


SPEC = StageSpec(
    name="dpo", title="DPO", config=DPOConfig, starts_from="rejection_sampling", reads="contrasts", build=build
)
