"""verl-omni: `compute_score` for its visual reward manager, awaited once per generated picture or video.

    custom_reward_function:
      path: my_reward.py                # compute_score = make_compute_score(ServedJudge("http://judge:8090"), group_size=16)
      name: compute_score

The caption is `extra_info["prompt"]`, `extra_info["raw_prompt"]` or the ground truth, as in verl-omni's own rewards.
"""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy, policy_without_group
from urt_core.adapters.processes import GroupNames
from urt_core.adapters.served import ServedJudge
from urt_core.adapters.verl import group_of_row
from urt_core.errors import ConfigError

ComputeScore = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


def make_compute_score(
    judge: ServedJudge, *, group_size: int | None = None, on_failure: FailurePolicy | str = FailurePolicy.NAN
) -> ComputeScore:
    """The reward of one sample: its score, where the server was started with `--reward score`; with `group_size`
    (verl's `rollout.n`) its win rate among the samples of its prompt, gathered from all workers.

    The samples of a prompt know each other by `extra_info["uid"]` or `extra_info["index"]`; one that is no training
    sample stands alone.
    """
    policy, names = policy_without_group(on_failure, "verl-omni shows one sample at a time"), GroupNames()
    tally = FailureTally(name="verl_omni")
    if not judge.task.is_generation:
        raise ConfigError(
            f"the task of the served judge is {judge.task}; verl-omni trains generators of pictures and videos"
        )

    async def compute_score(
        data_source: str,
        solution_image: Any,
        ground_truth: str,
        extra_info: Mapping[str, Any] | None = None,
        reward_router_address: str | None = None,
        reward_model_tokenizer: Any = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """`solution_image`: a CHW tensor, an HWC array or a PIL image; of a video one axis more."""
        row = extra_info or {}
        caption = row.get("prompt") or row.get("raw_prompt") or ground_truth or ""
        group = group_of_row(row, names) if group_size is not None else None
        values, statuses = await judge.arewards(
            texts=[caption],
            candidates=[solution_image],
            groups=None if group is None else [group],
            group_size=group_size,
        )
        tally.add(statuses)
        [reward] = apply_policy(values, statuses, policy=policy, groups=[None])
        return {"score": reward, "urt_status": str(statuses[0]), "urt_failure_rate": tally.rate}

    return compute_score
