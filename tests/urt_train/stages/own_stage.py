"""A stage as a user would write it, outside of the package: the cold start's module under another name."""

from dataclasses import dataclass
from typing import ClassVar

from urt_train.config import FineTuningConfig
from urt_train.stages import StageInputs, StageSpec


@dataclass(kw_only=True, slots=True)
class EchoConfig(FineTuningConfig):
    """Imitates the traces once more."""

    path: ClassVar[str] = "echo"
    batch_size: int = 4
    """Sequences per optimizer step."""


def build(inputs: StageInputs):
    from urt_train.stages.cold_start.module import ColdStart

    return ColdStart(inputs.policy, inputs.settings, plan=inputs.plan, num_steps=inputs.num_steps)


SPEC = StageSpec(
    name="echo", title="echo", config=EchoConfig, reads="cold_start", starts_from="cold_start", build=build
)
