"""TRL: a reward function for `GRPOTrainer(reward_funcs=...)`.

    trainer = GRPOTrainer(model=..., reward_funcs=make_reward_func(scorer, mode="win_rate"), train_dataset=dataset, ...)

The data set has a question and a medium per row (`question_column`, `media_column`), and for mode "reference" a
reference answer. TRL leaves NaN rewards out of a sample's sum; a sample with nothing else has no advantage.

TRL deals the completions of a prompt out over its processes, and each asks for its own. For win rates the processes
gather them (torch.distributed), each judges its share of the groups, and all get the rates that one process with
everything would get.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal

from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy
from urt_core.adapters.gathered import Sample, gathered_win_rates
from urt_core.adapters.processes import Meeting
from urt_core.adapters.references import ReferencePool
from urt_core.adapters.rewards import Rewards, reference_rewards, score_rewards
from urt_core.errors import ConfigError
from urt_core.prompts import PointContract
from urt_core.records import Task
from urt_core.scorer import Scorer

Mode = Literal["win_rate", "score", "reference"]


def make_reward_func(
    scorer: Scorer,
    *,
    mode: Mode = "win_rate",
    task: Task | str = Task.IMAGE_UNDERSTANDING,
    question_column: str = "question",
    media_column: str = "image",
    reference_column: str = "reference",
    contract: PointContract | str = PointContract.THINK,
    num_generations: int | None = None,
    references: ReferencePool | None = None,
    on_failure: FailurePolicy | str = FailurePolicy.NAN,
) -> Callable[..., list[float]]:
    """`num_generations` is TRL's: needed where one prompt may come twice in a row. `references` are for a completion
    that is alone."""
    task, policy = Task(task), FailurePolicy(on_failure)
    tally = FailureTally(name=f"trl {mode}")
    if task.is_generation or mode not in ("win_rate", "score", "reference"):
        raise ConfigError(
            f"task is {task} and mode {mode!r}; TRL trains answers, with mode 'win_rate', 'score' or 'reference'"
        )

    meeting = Meeting()

    def group_of(samples: Sequence[Sample]) -> list[Hashable]:
        return list(group_of_each([sample.prompt for sample in samples], num_generations))

    def reward_func(
        prompts: Sequence[Any], completions: Sequence[Any], log_metric: Any = None, **columns: Any
    ) -> list[float]:
        questions, media = column(columns, question_column), column(columns, media_column)
        answers = [text_of(completion) for completion in completions]
        groups: Sequence[Hashable] = group_of_each(prompts)
        rewards: Rewards
        if mode == "win_rate":
            samples = [Sample(*row) for row in zip(prompts, questions, answers, media, strict=True)]
            with meeting.call() as call:
                rewards, groups = gathered_win_rates(
                    scorer, samples, task=task, group_of=group_of, meeting=meeting, call=call, references=references
                )
        elif mode == "score":
            rewards = score_rewards(
                scorer, task=task, texts=questions, candidates=answers, media=media, contract=contract
            )
        else:
            answers_to_beat = column(columns, reference_column)
            rewards = reference_rewards(
                scorer, task=task, texts=questions, candidates=answers, references=answers_to_beat, media=media
            )
        tally.add(rewards.statuses)
        if log_metric is not None:
            log_metric("urt_failure_rate", tally.rate)
        return apply_policy(rewards.values, rewards.statuses, policy=policy, groups=groups)

    # TRL names its metrics after the function.
    reward_func.__name__ = f"urt_{mode}"
    return reward_func


def column(columns: dict[str, Any], name: str) -> Sequence[Any]:
    if name not in columns:
        raise ConfigError(f"the data set has no column {name!r}; it has {sorted(columns)}")
    return columns[name]


def text_of(completion: Any) -> str:
    """Plain data sets give strings, conversational ones lists of messages (whose content may be in parts)."""
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"] if completion else ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text") or "" for part in content)


def group_of_each(prompts: Sequence[Any], num_generations: int | None = None) -> list[int]:
    """TRL repeats a prompt for its completions, next to each other."""
    if num_generations is not None:
        return [index // num_generations for index in range(len(prompts))]
    groups, number = [], -1
    for index, prompt in enumerate(prompts):
        if index == 0 or prompt != prompts[index - 1]:
            number += 1
        groups.append(number)
    return groups
