"""verl: `compute_score` for its reward managers, sync signature, asynchronous underneath.

    custom_reward_function:
      path: pkg://urt_core.adapters.verl        # or the path of a file with `compute_score = make_compute_score(scorer)`
      name: compute_score

The data set's `extra_info` holds `question` and `media` (a path, or bytes); `reward_model.ground_truth` is the
reference answer in mode "reference". The judge of the ready-made `compute_score` comes from the environment: URT_MODEL,
URT_BASE_URL, URT_DIALECT, URT_MODE, URT_TASK, URT_ON_FAILURE.

verl shows one sample at a time, from many workers. For win rates within the samples of a prompt, `urt serve` gathers
them:

    compute_score = make_win_rate_score(ServedJudge("http://judge:8090", task="image_understanding"), group_size=8)   # rollout.n
"""

import functools
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Literal

from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy, policy_without_group
from urt_core.adapters.processes import GroupNames
from urt_core.adapters.served import ServedJudge
from urt_core.adapters.settings import scorer_from_settings, settings_from_environment
from urt_core.comparison import Comparison
from urt_core.errors import ConfigError
from urt_core.points import PointScore
from urt_core.prompts import PointContract
from urt_core.records import Task
from urt_core.scorer import Scorer

Mode = Literal["score", "reference"]
ComputeScore = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


def make_compute_score(
    scorer: Scorer,
    *,
    mode: Mode = "reference",
    task: Task | str = Task.IMAGE_UNDERSTANDING,
    contract: PointContract | str = PointContract.THINK,
    on_failure: FailurePolicy | str = FailurePolicy.NAN,
) -> ComputeScore:
    """verl awaits it once per sample and runs many at a time."""
    task, policy = Task(task), policy_without_group(on_failure, "verl shows one sample at a time")
    tally = FailureTally(name=f"verl {mode}")
    if task.is_generation or mode not in ("score", "reference"):
        raise ConfigError(f"task is {task} and mode {mode!r}; verl trains answers, with mode 'score' or 'reference'")

    async def compute_score(
        data_source: str,
        solution_str: str,
        ground_truth: str,
        extra_info: Mapping[str, Any] | None = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        question, media = sample_of(extra_info)
        result: Comparison | PointScore
        if mode == "reference":
            result = await scorer.acompare(
                task=task, text=question, first=solution_str, second=ground_truth, media=media
            )
            value = result.probability_first
        else:
            request = scorer.point_request(
                task=task, text=question, candidate=solution_str, media=media, contract=contract
            )
            [result] = [score async for score in scorer.ascore_batch([request], contract=contract)]
            value = result.fraction
        tally.add([result.status])
        [reward] = apply_policy([value], [result.status], policy=policy, groups=[None])
        return {"score": reward, "urt_status": str(result.status), "urt_failure_rate": tally.rate}

    return compute_score


def make_win_rate_score(
    judge: ServedJudge, *, group_size: int, on_failure: FailurePolicy | str = FailurePolicy.NAN
) -> ComputeScore:
    """The share of the other samples of its prompt that a sample beats, gathered from all workers by the server.

    `group_size` is verl's `rollout.n`. The samples of a prompt know each other by `extra_info["uid"]` or, where verl
    passes none, `extra_info["index"]`; a row that says neither, or whose `split` is not "train", stands alone: the
    server compares it with its references (`--references`), or gives it the status `alone`.
    """
    policy, names = policy_without_group(on_failure, "verl shows one sample at a time"), GroupNames()
    tally = FailureTally(name="verl win_rate")

    async def compute_score(
        data_source: str,
        solution_str: str,
        ground_truth: str,
        extra_info: Mapping[str, Any] | None = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        question, media = sample_of(extra_info)
        group = group_of_row(extra_info or {}, names)
        values, statuses = await judge.arewards(
            texts=[question],
            candidates=[solution_str],
            media=[media],
            groups=None if group is None else [group],
            group_size=group_size,
        )
        tally.add(statuses)
        [reward] = apply_policy(values, statuses, policy=policy, groups=[None])
        return {"score": reward, "urt_status": str(statuses[0]), "urt_failure_rate": tally.rate}

    return compute_score


def group_of_row(extra_info: Mapping[str, Any], names: GroupNames) -> str | None:
    identity = extra_info.get("uid", extra_info.get("index"))
    return None if identity is None or extra_info.get("split", "train") != "train" else names.of_row(str(identity))


def sample_of(extra_info: Mapping[str, Any] | None) -> tuple[str, Any]:
    if not extra_info or "question" not in extra_info or "media" not in extra_info:
        found = sorted(extra_info or {})
        raise ConfigError(f"extra_info holds {found}; a judge needs `question` and `media` in it")
    return extra_info["question"], extra_info["media"]


@functools.cache
def compute_score_from_environment() -> ComputeScore:
    settings = settings_from_environment()
    own: dict[str, Any] = {
        name: settings.pop(name) for name in ("mode", "task", "contract", "on_failure") if name in settings
    }
    return make_compute_score(scorer_from_settings(settings), **own)


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: str,
    extra_info: Mapping[str, Any] | None = None,
    **kwargs: Any,
) -> dict[str, Any]:
    """The ready-made one; the judge is built at the first call."""
    return await compute_score_from_environment()(data_source, solution_str, ground_truth, extra_info, **kwargs)
