"""What to change where a stage does not fit, in the order of what it would save."""

from __future__ import annotations

from collections.abc import Iterator

from urt_train.config import RolloutEngine
from urt_train.config.dry_run import EVALUATION
from urt_train.experiment.dry_run.estimate import Estimate, StageEstimate
from urt_train.experiment.dry_run.moments import Moment
from urt_train.experiment.dry_run.states import Strategy


def advice(estimate: Estimate, stage: StageEstimate) -> list[str]:
    """Settings that would help, as they stand on a command line; none where the stage fits."""
    if stage.refusal:
        return [stage.refusal]
    too_large = [moment for moment in stage.moments if moment.total > stage.room]
    found = [line for moment in too_large for line in _for_moment(estimate, stage, moment)]
    return list(dict.fromkeys(found))


def largest_items(moment: Moment) -> list[tuple[str, float]]:
    return sorted(moment.holds.items(), key=lambda item: -item[1])[:3]


def _for_moment(estimate: Estimate, stage: StageEstimate, moment: Moment) -> Iterator[str]:
    if moment.phase == "sampling":
        yield from _for_sampling(estimate, stage)
    else:
        for item, _ in largest_items(moment):
            yield from _for_learning(estimate, stage, item)


def _for_sampling(estimate: Estimate, stage: StageEstimate) -> Iterator[str]:
    sampling, fitting = stage.sampling, stage.fitting_prompts
    if sampling is not None and fitting:
        yield f"{sampling.decoding.setting}={max(1, int(fitting / sampling.decoding.per_setting))}"
    if stage.name == EVALUATION:
        return
    if (
        sampling is not None
        and sampling.decoding.beside_training
        and sampling.decoding.engine == RolloutEngine.transformers
    ):
        yield "engine=vllm_server"
    if estimate.strategy is Strategy.DDP:
        yield "strategy=fsdp2"
    if not fitting:
        yield "lower judge.max_pixels or judge.num_frames"


def _for_learning(estimate: Estimate, stage: StageEstimate, item: str) -> Iterator[str]:
    config, learning = estimate.config, stage.learning
    if item == "activations" and learning is not None:
        if not config.model.gradient_checkpointing:
            yield "model.gradient_checkpointing=true"
        if learning.plan.tokens_per_batch is not None and learning.groups > 1:
            yield f"{stage.name}.micro_batch_tokens={learning.tokens // 2}"
        elif learning.sequences > 1:
            yield f"{stage.name}.micro_batch_size={learning.sequences // 2}"
        if learning.group > 1 and not learning.is_packed:
            yield f"{stage.name}.batching=shared_prefix"
    if item == "reference copy" and hasattr(config.settings(stage.name), "kl_coef"):
        yield f"{stage.name}.kl_coef=0"
    if item in ("weights", "gradients", "optimizer state", "reference copy"):
        if config.dry_run.devices > 1 and estimate.strategy is not Strategy.FSDP2:
            yield "strategy=fsdp2"
        if estimate.strategy is Strategy.FSDP2:
            yield "more devices"
        if not config.model.lora.rank:
            yield "model.lora.rank=32 model.dtype=bfloat16"
