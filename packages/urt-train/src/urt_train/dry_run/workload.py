"""What one device is given in each stage: micro-batches to learn from, and prompts to sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from urt_core import Task
from urt_core.errors import ConfigError
from urt_train.config import Batching, GRPOConfig, Orders, Stage, TrainConfig
from urt_train.config.dry_run import EVALUATION
from urt_train.dry_run.lengths import PromptLength, tasks_of
from urt_train.rollouts.loader import RoundPlan, plan_rounds


@dataclass(frozen=True, kw_only=True, slots=True)
class Learning:
    """Learning(prompt=PromptLength(...), left_out=(), completion=2048, group=4, groups=2, is_packed=True, plan=RoundPlan(...))"""

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
    """Sampling(prompt=PromptLength(...), completion=2048, group=4, prompts=16, setting="grpo.generation_batch_size", per_setting=1)"""

    prompt: PromptLength
    completion: int
    group: int
    """Completions of one prompt."""
    prompts: int
    """Decoded together."""
    setting: str
    """What decides how many."""
    per_setting: float
    """Prompts for each unit of it."""
    top_p: float


def learning(config: TrainConfig, stage: Stage, lengths: dict[Task, PromptLength]) -> Learning:
    """The largest micro-batch of a stage."""
    settings = getattr(config, stage.value)
    tasks = tasks_of(config, stage)
    fitting = [task for task in tasks if lengths[task].tokens <= settings.max_prompt_tokens]
    if not fitting:
        shortest = min(lengths[task].tokens for task in tasks)
        raise ConfigError(
            f"{settings.path}.max_prompt_tokens is {settings.max_prompt_tokens}, and prompts at the limits of judge have {shortest} tokens"
            " or more; raise it, or lower judge.max_pixels or judge.num_frames"
        )
    plan = plan_rounds(settings, num_ranks=config.dry_run.devices)
    group = _group(settings) if isinstance(settings, GRPOConfig) else 1
    return Learning(
        prompt=max((lengths[task] for task in fitting), key=lambda length: length.tokens),
        left_out=tuple(task for task in tasks if task not in fitting),
        completion=_completion(config, settings.max_completion_tokens),
        group=min(group, plan.batch_size),
        groups=max(1, plan.batch_size // group),
        is_packed=isinstance(settings, GRPOConfig) and settings.batching is Batching.shared_prefix,
        plan=plan,
    )


def sampling(config: TrainConfig, stage: str, lengths: dict[Task, PromptLength]) -> Sampling | None:
    """The largest batch that a device decodes, in "rejection_sampling" (judging the pool), "grpo" or "evaluation"."""
    if stage == Stage.grpo:
        return _rollout(config, lengths)
    if stage == Stage.rejection_sampling:
        pool = config.rejection_sampling
        return Sampling(
            prompt=_longest(lengths, tasks_of(config, Stage.rejection_sampling)),
            completion=_completion(config, pool.max_completion_tokens),
            group=pool.num_samples,
            prompts=pool.judge_batch_size,
            setting="rejection_sampling.judge_batch_size",
            per_setting=1,
            top_p=pool.top_p,
        )
    if stage == EVALUATION:
        wanted = config.evaluation
        return Sampling(
            prompt=_longest(lengths, [Task(name) for name in wanted.tasks]),
            completion=_completion(config, wanted.max_completion_tokens),
            group=1,
            prompts=wanted.batch_size,
            setting="evaluation.batch_size",
            per_setting=1,
            top_p=1.0,
        )
    return None


def _rollout(config: TrainConfig, lengths: dict[Task, PromptLength]) -> Sampling:
    grpo, group = config.grpo, _group(config.grpo)
    plan = plan_rounds(grpo, num_ranks=config.dry_run.devices)
    per_setting = grpo.group_size / group
    return Sampling(
        prompt=learning(config, Stage.grpo, lengths).prompt,
        completion=_completion(config, grpo.max_completion_tokens),
        group=group,
        prompts=int(per_setting * min(grpo.generation_batch_size, plan.records_per_rank)),
        setting="grpo.generation_batch_size",
        per_setting=per_setting,
        top_p=grpo.top_p,
    )


def _group(grpo: GRPOConfig) -> int:
    """Shown in both orders, a group is two prompts with half of its completions each."""
    return grpo.group_size // 2 if grpo.orders is Orders.both else grpo.group_size


def _completion(config: TrainConfig, longest: int) -> int:
    return min(config.dry_run.completion_tokens or longest, longest)


def _longest(lengths: dict[Task, PromptLength], tasks: Sequence[Task]) -> PromptLength:
    return max((lengths[task] for task in tasks), key=lambda length: length.tokens)
