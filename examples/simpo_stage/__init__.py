"""A stage: SimPO (arXiv 2405.14734), preference optimisation without a reference policy, in place of GRPO or DPO.

urt-train stage=simpo_stage:SPEC simpo.learning_rate=5e-6
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from urt_train.config.stage import Holds
from urt_train.stages import StageInputs, StageSpec
from urt_train.stages.dpo.config import DPOConfig

if TYPE_CHECKING:
    from simpo_stage.module import SimPO


@dataclass(kw_only=True, slots=True)
class SimPOConfig(DPOConfig):
    """Settings of SimPO: those of DPO, and a margin. Each is set as simpo.<name>=<value>."""

    path: ClassVar[str] = "simpo"
    beta: float = 2.0
    """Weight of the mean log-prob of a token; arXiv 2405.14734 uses 2.0 to 2.5."""
    margin: float = 1.0
    """Gamma: how far the right judgement should be ahead; half of beta in arXiv 2405.14734, appendix."""

    def holds(self, *, num_ranks: int) -> Holds:
        return Holds(group=2, has_reference=False)


def build(inputs: StageInputs) -> SimPO:
    from simpo_stage.module import SimPO  # imports torch: a command line is checked before

    return SimPO(inputs.policy, inputs.settings, plan=inputs.plan, num_steps=inputs.num_steps)


SPEC = StageSpec(
    name="simpo",
    title="SimPO",
    config=SimPOConfig,
    reads="contrasts",  # right and wrong judgements of a pair, which rejection sampling writes
    starts_from="rejection_sampling",
    build=build,
)
