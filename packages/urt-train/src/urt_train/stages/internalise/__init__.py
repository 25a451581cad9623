"""Behind the last stage: the judge's reasoning distilled into its own direct answer, whose probability is then calibrated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from urt_train.stages.internalise.config import UNLABELLED, InternaliseConfig
from urt_train.stages.spec import Conclusion, Preparation, StageInputs, StageSpec

if TYPE_CHECKING:
    from urt_train.stages.internalise.module import Internalise


def prepare(preparation: Preparation) -> None:
    """Judge the unlabelled pairs, unless the user names what judging them would write."""
    if preparation.is_given("internalised") and preparation.is_given("reasoned"):
        return
    from urt_train.stages.internalise.votes import judge_unlabelled

    judge_unlabelled(preparation)


def build(inputs: StageInputs) -> Internalise:
    from urt_train.stages.internalise.module import Internalise

    return Internalise(inputs.policy, inputs.settings, plan=inputs.plan, num_steps=inputs.num_steps)


def conclude(conclusion: Conclusion) -> None:
    """Say in judge.json what an instant probability is worth, and what single candidates are held against."""
    if conclusion.settings.calibrate_on is None:
        return
    from urt_train.stages.internalise.calibrating import calibrate

    engine = conclusion.open_engine()
    calibrate(conclusion, engine)
    if conclusion.settings.num_anchors:
        from urt_train.stages.internalise.anchoring import pick_anchors

        pick_anchors(conclusion, engine)


def prepares_from(settings: InternaliseConfig) -> tuple[str, ...]:
    return (settings.split or UNLABELLED, *([settings.calibrate_on] if settings.calibrate_on else []))


def mixes_in(settings: InternaliseConfig) -> Mapping[str, float]:
    return {"reasoned": settings.replay} if settings.replay else {}


SPEC = StageSpec(
    name="internalise",
    title="internalising",
    config=InternaliseConfig,
    starts_from="grpo",
    reads="internalised",
    writes=("internalised", "reasoned"),
    prepare=prepare,
    prepares_from=prepares_from,
    mixes_in=mixes_in,
    build=build,
    conclude=conclude,
)
