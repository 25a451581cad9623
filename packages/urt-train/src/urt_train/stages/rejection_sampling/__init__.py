"""Stage 2: judge the pool of all tasks, imitate the right judgements (arXiv 2505.03318, rejection sampling)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from urt_train.stages.rejection_sampling.config import POOL, RejectionSamplingConfig
from urt_train.stages.spec import Preparation, StageInputs, StageSpec

if TYPE_CHECKING:
    from urt_train.stages.cold_start.module import ColdStart


def prepare(preparation: Preparation) -> None:
    """Judge the pool, unless the user names what judging it would write."""
    if preparation.is_given("accepted") and preparation.is_given("hard"):
        return
    from urt_train.stages.rejection_sampling.pool import judge_pool

    judge_pool(preparation)


def build(inputs: StageInputs) -> ColdStart:
    """Fitting is the cold start's, on other data."""
    from urt_train.stages.cold_start.module import ColdStart

    return ColdStart(inputs.policy, inputs.settings, plan=inputs.plan, num_steps=inputs.num_steps)


def prepares_from(settings: RejectionSamplingConfig) -> tuple[str, ...]:
    return (settings.split or POOL, *mixes_in(settings))


def mixes_in(settings: RejectionSamplingConfig) -> Mapping[str, float]:
    return {"cold_start": settings.replay} if settings.replay else {}


SPEC = StageSpec(
    name="rejection_sampling",
    title="rejection sampling",
    config=RejectionSamplingConfig,
    starts_from="cold_start",
    reads="accepted",
    writes=("accepted", "hard", "contrasts"),
    prepare=prepare,
    prepares_from=prepares_from,
    mixes_in=mixes_in,
    by_default=True,
    build=build,
)
