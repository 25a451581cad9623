"""A recipe in, what each of its stages needs on a device out, without weights, data or GPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from urt_core import Task
from urt_train.config import TrainConfig
from urt_train.config.dry_run import EVALUATION
from urt_train.experiment.dry_run.lengths import PromptLength, prompt_lengths
from urt_train.experiment.dry_run.measure import Measurements
from urt_train.experiment.dry_run.model import Part, parts_of
from urt_train.experiment.dry_run.moments import Moment, Stagewise
from urt_train.experiment.dry_run.shape import Shape, shape_of
from urt_train.experiment.dry_run.states import Strategy, strategy_of
from urt_train.experiment.dry_run.workload import Learning, Sampling, learning, sampling
from urt_train.stages import find_stage

GIB = 2**30
ZERO3 = (Strategy.ZERO3, Strategy.ZERO3_OFFLOAD)


class Host(NamedTuple):
    """Bytes in main memory of a node: Host(loading=281e9, pixels=0.8e9, states=0)"""

    loading: float
    """Every process reads the whole model, and copies it where a reference is needed, before any of it goes to a
    device."""
    pixels: float
    """Images of a rollout or micro-batch of all its processes."""
    states: float
    """What a strategy keeps in main memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageEstimate:
    """StageEstimate(name="grpo", label="GRPO", learning=Learning(...), sampling=Sampling(...), moments=(Moment(...),
    ...), room=83.7e9)"""

    name: str
    """A stage, or evaluation."""
    label: str
    learning: Learning | None
    sampling: Sampling | None
    moments: tuple[Moment, ...]
    room: float
    """Bytes of a device less the reserve."""
    host: Host
    model_bytes: float
    """Of the exported folder."""
    checkpoint_bytes: float
    refusal: str = ""
    """Why the stage would not start under these settings."""
    fitting_prompts: int | None = None
    """Prompts decoded together that would fit, where those of the recipe do not; 0 if not even one does."""

    @property
    def largest(self) -> Moment:
        return max(self.moments, key=lambda moment: moment.total)

    @property
    def fits(self) -> bool:
        return not self.refusal and self.largest.total <= self.room

    def largest_of(self, phase: str) -> Moment | None:
        return max((m for m in self.moments if m.phase == phase), key=lambda moment: moment.total, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """What `dry_run` finds out about a recipe."""

    config: TrainConfig
    shape: Shape
    parts: tuple[Part, ...]
    strategy: Strategy
    lengths: dict[Task, PromptLength]
    stages: tuple[StageEstimate, ...]

    @property
    def parameters(self) -> int:
        return sum(part.parameters for part in self.parts)

    @property
    def trained(self) -> int:
        return sum(part.trained for part in self.parts)


def dry_run(config: TrainConfig) -> Estimate:
    """Every stage that `dry_run.stages` names, or all of the recipe's, for the machine that `dry_run` describes."""
    shape = shape_of(config.model.base)
    lengths = prompt_lengths(config, shape)
    measurements = Measurements(config=config, shape=shape)
    wanted = config.dry_run.stages or [*config.stages, EVALUATION]
    return Estimate(
        config=config,
        shape=shape,
        parts=tuple(parts_of(Stagewise(config, shape, config.stages[0], measurements).policy)),
        strategy=strategy_of(config),
        lengths=lengths,
        stages=tuple(_stage(config, shape, name, lengths, measurements) for name in wanted),
    )


def _stage(
    config: TrainConfig, shape: Shape, name: str, lengths: dict[Task, PromptLength], measurements: Measurements
) -> StageEstimate:
    stage = config.stages[0] if name == EVALUATION else find_stage(name).name
    memory = Stagewise(config, shape, stage, measurements)
    learnt = None if name == EVALUATION else learning(config, stage, lengths)
    sampled = sampling(config, name, lengths)
    room = (config.dry_run.device_memory_gib - config.dry_run.reserve_gib) * GIB
    moments = [] if sampled is None else list(_sampling_moments(memory, name, sampled))
    moments += [] if learnt is None else list(memory.update(learnt))
    return StageEstimate(
        name=name,
        label="Evaluation" if name == EVALUATION else find_stage(name).label,
        learning=learnt,
        sampling=sampled,
        moments=tuple(moments),
        room=room,
        host=_host(memory, name, learnt, sampled),
        model_bytes=memory.served_bytes,
        checkpoint_bytes=memory.stored_bytes + _optimizer_bytes(memory),
        refusal=_refusal(memory, name, sampled),
        fitting_prompts=None if sampled is None else _fitting_prompts(memory, name, sampled, room=room),
    )


def _sampling_moments(memory: Stagewise, name: str, sampled: Sampling) -> Iterator[Moment]:
    if name == EVALUATION:
        yield from memory.evaluation(sampled)
    else:
        yield from memory.sampling(sampled)


def _refusal(memory: Stagewise, name: str, sampled: Sampling | None) -> str:
    """As `machine.check_strategy` and `run.rollout_engine` would."""
    if sampled is not None and name != EVALUATION and memory.strategy in ZERO3:
        return "samples with whole weights, which ZeRO-3 does not give; allowed: strategy=fsdp2, deepspeed_zero2, ddp"
    return ""


def _fitting_prompts(memory: Stagewise, name: str, sampled: Sampling, *, room: float) -> int | None:
    """By halving, as one would try."""
    number = sampled.prompts
    while number and any(moment.total > room for moment in _sampling_moments(memory, name, sampled.of(prompts=number))):
        number //= 2
    return None if number == sampled.prompts else number


def _host(memory: Stagewise, name: str, learnt: Learning | None, sampled: Sampling | None) -> Host:
    settings = memory.config
    processes = 1 if name == EVALUATION else -(-settings.dry_run.devices // settings.trainer.num_nodes)
    copies = 2 if memory.states.reference else 1
    shown = sampled.prompts * sampled.prompt.pictures.num_bytes if sampled else 0
    if learnt is not None:
        pictures = learnt.prompt.pictures
        shown = max(shown, learnt.plan.records_per_rank * pictures.num_bytes)
    states = 0.0
    if memory.strategy is Strategy.ZERO3_OFFLOAD and name != EVALUATION:
        trained = sum(parameter.numel() for parameter in memory.policy.parameters() if parameter.requires_grad)
        everything = sum(parameter.numel() for parameter in memory.policy.parameters())
        # Weights in bf16; master weights, two moments and gradients in float32.
        states = (2 * everything + 16 * trained) * processes / settings.dry_run.devices
    read = memory.served_bytes if name == EVALUATION else memory.stored_bytes
    # Read where it goes (model/loading.py): of several processes each its part, or the first one the whole; policy and reference in turn.
    return Host(loading=read if processes > 1 else copies * read, pixels=shown * processes, states=states)


def _optimizer_bytes(memory: Stagewise) -> float:
    return sum(2 * p.numel() * p.element_size() for p in memory.policy.parameters() if p.requires_grad)
