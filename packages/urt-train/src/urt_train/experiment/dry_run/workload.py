"""What one device is given in each stage: micro-batches to learn from, and prompts to sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from urt_core import Task
from urt_core.errors import ConfigError
from urt_train.config import RoundPlan, TrainConfig
from urt_train.config.dry_run import EVALUATION
from urt_train.config.stage import Decoding
from urt_train.experiment.dry_run.lengths import PromptLength, tasks_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Learning:
    """Learning(prompt=PromptLength(...), left_out=(), completion=2048, group=4, groups=2, is_packed=True,
    plan=RoundPlan(...))"""

    prompt: PromptLength
    """The longest that is let in."""
    left_out: tuple[Task, ...]
    """Tasks whose longest prompts are above the limit."""
    completion: int
    group: int
    """Completions of one prompt in a micro-batch."""
    groups: int
    """Prompts of a micro-batch."""
    is_packed: bool
    plan: RoundPlan

    @property
    def sequences(self) -> int:
        return self.groups * self.group

    @property
    def tokens(self) -> int:
        """Of a micro-batch as the decoder gets it, where all completions are as long as they may be."""
        prompts = self.groups if self.is_packed else self.sequences
        return prompts * self.prompt.tokens + self.sequences * (self.completion - 1)

    @property
    def pictures(self) -> int:
        """Padded rows show the vision tower the pictures of a prompt once for each completion."""
        return (self.groups if self.is_packed else self.sequences) * self.prompt.pictures.number


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampling:
    """Sampling(prompt=PromptLength(...), completion=2048, decoding=Decoding(prompts=16, group=4, ...))"""

    prompt: PromptLength
    completion: int
    decoding: Decoding

    @property
    def prompts(self) -> int:
        """Decoded together."""
        return self.decoding.prompts

    @property
    def group(self) -> int:
        """Completions of one prompt."""
        return self.decoding.group

    def of(self, *, prompts: int) -> Sampling:
        """The same with another number of prompts."""
        return replace(self, decoding=replace(self.decoding, prompts=prompts))


def learning(config: TrainConfig, stage: str, lengths: dict[Task, PromptLength]) -> Learning:
    """The largest micro-batch of a stage."""
    settings = config.settings(stage)
    tasks = tasks_of(config, stage)
    fitting = [task for task in tasks if lengths[task].tokens <= settings.max_prompt_tokens]
    if not fitting:
        shortest = min(lengths[task].tokens for task in tasks)
        raise ConfigError(
            f"{settings.path}.max_prompt_tokens is {settings.max_prompt_tokens}, and prompts at the limits of judge have {shortest} tokens"
            " or more; raise it, or lower judge.max_pixels or judge.num_frames"
        )
    plan = settings.plan(num_ranks=config.dry_run.devices)
    holds = settings.holds(num_ranks=config.dry_run.devices)
    found = Learning(
        prompt=max((lengths[task] for task in fitting), key=lambda length: length.tokens),
        left_out=tuple(task for task in tasks if task not in fitting),
        completion=_completion(config, settings.max_completion_tokens),
        group=min(holds.group, plan.batch_size),
        groups=max(1, plan.batch_size // holds.group),
        is_packed=holds.is_packed,
        plan=plan,
    )
    return (
        found if plan.tokens_per_batch is None else replace(found, groups=max(1, plan.tokens_per_batch // found.tokens))
    )


def sampling(config: TrainConfig, name: str, lengths: dict[Task, PromptLength]) -> Sampling | None:
    """The largest batch that a device decodes in a stage, or in "evaluation"; None where nothing is sampled."""
    if name == EVALUATION:
        wanted = config.evaluation
        decoding = Decoding(
            prompts=wanted.batch_size, group=1, setting="evaluation.batch_size", per_setting=1, top_p=1.0
        )
        prompt = _longest(lengths, [Task(task) for task in wanted.tasks])
        return Sampling(prompt=prompt, completion=_completion(config, wanted.max_completion_tokens), decoding=decoding)
    settings = config.settings(name)
    decoding = settings.holds(num_ranks=config.dry_run.devices).decoding
    if decoding is None:
        return None
    # Before training, pairs are judged whatever their length; within it, those are left out that can't be learnt from.
    prompt = (
        learning(config, name, lengths).prompt
        if decoding.beside_training
        else _longest(lengths, tasks_of(config, name))
    )
    return Sampling(prompt=prompt, completion=_completion(config, settings.max_completion_tokens), decoding=decoding)


def _completion(config: TrainConfig, longest: int) -> int:
    return min(config.dry_run.completion_tokens or longest, longest)


def _longest(lengths: dict[Task, PromptLength], tasks: Sequence[Task]) -> PromptLength:
    return max((lengths[task] for task in tasks), key=lambda length: length.tokens)
