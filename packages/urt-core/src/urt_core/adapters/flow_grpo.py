"""flow_grpo: entries for its `multi_score`.

    import flow_grpo.rewards
    from urt_core.adapters import flow_grpo as urt

    flow_grpo.rewards.multi_score = urt.extend_multi_score(
        flow_grpo.rewards.multi_score, urt_win_rate=urt.win_rate(scorer), urt_score=urt.score(scorer, contract="acs")
    )
    config.reward_fn = {"urt_win_rate": 1.0, "pickscore": 0.5}

With the judge on another machine (`urt serve`), an entry is
`urt.served(ServedJudge("http://judge:8090", token="..."))`.

A win rate is one among the samples of a prompt, which flow_grpo spreads over its processes. Where there are several,
`win_rate` has them exchange the pictures of a step (torch.distributed) and share the judging out. Where pictures are large
or processes many, ask a served judge and say how many samples a prompt has over all of them; the server gathers them:

    urt.served(ServedJudge("http://judge:8090"), group_size=config.sample.num_image_per_prompt)

In an evaluation a prompt has one sample. It is compared with the server's references (`urt serve --references`), if
there are any.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy
from urt_core.adapters.gathered import Sample, gathered_win_rates
from urt_core.adapters.processes import GroupNames, Meeting, initialised_distributed, num_processes
from urt_core.adapters.references import ReferencePool
from urt_core.adapters.rewards import Rewards, score_rewards, win_rate_rewards
from urt_core.adapters.served import ServedJudge
from urt_core.errors import ConfigError
from urt_core.prompts import PointContract
from urt_core.records import Task
from urt_core.scorer import Scorer

ScoreFunction = Callable[..., tuple[list[float], dict[str, Any]]]


def win_rate(
    scorer: Scorer,
    *,
    on_failure: FailurePolicy | str = FailurePolicy.NAN,
    task: Task | str = Task.IMAGE_GENERATION,
    references: ReferencePool | None = None,
) -> ScoreFunction:
    """Each sample's win rate among the samples of the same prompt in the call; of a sample that is alone there, against
    `references`."""
    task = Task(task)

    meeting = Meeting()

    def judge(images: Any, prompts: Sequence[str], is_training: bool) -> Rewards:
        if not is_training or num_processes() == 1:
            return win_rate_rewards(
                scorer, task=task, texts=prompts, candidates=list(images), groups=list(prompts), references=references
            )
        if initialised_distributed() is None:
            raise ConfigError(
                f"this run has {num_processes()} processes, each of which sees a part of a prompt's samples, and torch.distributed is not set "
                "up to gather them; start `urt serve` and give flow_grpo.served(ServedJudge(url), group_size=config.sample.num_image_per_prompt)"
            )
        with meeting.call() as call:
            candidates = scorer.prepared(list(images), task=task)
            samples = [Sample(text, text, candidate) for text, candidate in zip(prompts, candidates, strict=True)]
            rewards, _ = gathered_win_rates(
                scorer, samples, task=task, group_of=prompts_of, meeting=meeting, call=call, references=references
            )
            return rewards

    return score_function(judge, name="urt_win_rate", on_failure=on_failure)


def prompts_of(samples: Sequence[Sample]) -> list[Hashable]:
    """A step draws each prompt once: its samples are those with its text."""
    return [sample.text for sample in samples]


def score(
    scorer: Scorer,
    *,
    contract: PointContract | str = PointContract.THINK,
    on_failure: FailurePolicy | str = FailurePolicy.NAN,
    task: Task | str = Task.IMAGE_GENERATION,
) -> ScoreFunction:
    """Each sample's pointwise score from 0 to 1."""
    task = Task(task)

    def judge(images: Any, prompts: Sequence[str], is_training: bool) -> Rewards:
        return score_rewards(scorer, task=task, texts=prompts, candidates=list(images), contract=contract)

    return score_function(judge, name="urt_score", on_failure=on_failure)


def served(
    judge: ServedJudge, *, group_size: int | None = None, on_failure: FailurePolicy | str = FailurePolicy.NAN
) -> ScoreFunction:
    """The rewards of a judge behind `urt serve`: win rates, or scores where it was started with `--reward score`.

    `group_size` is the number of samples of a prompt over all processes; the server then waits for all of them.
    """
    names = GroupNames()

    def ask(images: Any, prompts: Sequence[str], is_training: bool) -> Rewards:
        texts, candidates = list(prompts), list(images)
        if group_size is None or not is_training:
            return judge.rewards(texts=texts, candidates=candidates)
        return judge.rewards(texts=texts, candidates=candidates, groups=names.of_call(texts), group_size=group_size)

    return score_function(ask, name="urt_served", on_failure=on_failure)


def score_function(
    judge: Callable[[Any, Sequence[str], bool], Rewards], *, name: str, on_failure: FailurePolicy | str
) -> ScoreFunction:
    policy, tally = FailurePolicy(on_failure), FailureTally(name=name)

    def scores_of(
        images: Any, prompts: Sequence[str], metadata: Any, only_strict: bool = True
    ) -> tuple[list[float], dict[str, Any]]:
        """`images`: NCHW float tensor in 0..1, or NHWC uint8 array (videos: one axis more). flow_grpo asks strictly
        while it trains, and not in its evaluations."""
        values, statuses = judge(images, prompts, only_strict)
        tally.add(statuses)
        return apply_policy(values, statuses, policy=policy, groups=list(prompts)), {"failure_rate": tally.rate}

    return scores_of


def extend_multi_score(multi_score: Callable[..., Any], **entries: ScoreFunction) -> Callable[..., Any]:
    """A `multi_score(device, score_dict)` that knows `entries` beside those of flow_grpo's own, with the same
    results."""

    def extended(device: Any, score_dict: Mapping[str, float]) -> Callable[..., Any]:
        own = {name: weight for name, weight in score_dict.items() if name in entries}
        others = {name: weight for name, weight in score_dict.items() if name not in entries}
        if not score_dict:
            raise ConfigError("reward_fn names no reward")
        their_fn = multi_score(device, others) if others else None

        def all_scores(
            images: Any, prompts: Sequence[str], metadata: Any, only_strict: bool = True
        ) -> tuple[dict[str, Any], dict[str, Any]]:
            details: dict[str, Any] = their_fn(images, prompts, metadata, only_strict)[0] if their_fn else {}
            total = details.pop("avg", None) or [0.0] * len(prompts)
            for name, weight in own.items():
                details[name], _ = entries[name](images, prompts, metadata, only_strict)
                total = [before + weight * value for before, value in zip(total, details[name], strict=True)]
            return details | {"avg": total}, {}

        return all_scores

    return extended
