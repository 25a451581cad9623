"""OpenRLHF: `reward_func` for `--remote_rm_url <file>.py`.

    # my_reward.py
    from urt_core.adapters.openrlhf import make_reward_func
    from urt_core import Scorer

    reward_func = make_reward_func(Scorer.from_pretrained("outputs/tiny/grpo/model"))

A label (`--label_key`) is a JSON object with `question`, `media` (a path) and, in mode "reference", `reference`.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch

from urt_core.adapters.failures import FailurePolicy, FailureTally, apply_policy, policy_without_group
from urt_core.adapters.rewards import reference_rewards, score_rewards
from urt_core.errors import ConfigError
from urt_core.prompts import PointContract
from urt_core.records import Task
from urt_core.scorer import Scorer

Mode = Literal["score", "reference"]


def make_reward_func(
    scorer: Scorer,
    *,
    mode: Mode = "reference",
    task: Task | str = Task.IMAGE_UNDERSTANDING,
    contract: PointContract | str = PointContract.THINK,
    end_tokens: Sequence[str] = ("<|im_end|>", "<|endoftext|>", "</s>", "<|eot_id|>"),
    on_failure: FailurePolicy | str = FailurePolicy.NAN,
) -> Callable[..., dict[str, Any]]:
    """OpenRLHF calls it with one sample at a time, from many threads."""
    task, policy = Task(task), policy_without_group(on_failure, "OpenRLHF shows one sample at a time")
    tally = FailureTally(name=f"openrlhf {mode}")
    if task.is_generation or mode not in ("score", "reference"):
        raise ConfigError(
            f"task is {task} and mode {mode!r}; OpenRLHF trains answers, with mode 'score' or 'reference'"
        )

    def reward_func(
        queries: Sequence[str], prompts: Sequence[str], labels: Sequence[str], **kwargs: Any
    ) -> dict[str, Any]:
        rows = [label_of(label) for label in labels]
        answers = [answer_of(query, prompt, end_tokens) for query, prompt in zip(queries, prompts, strict=True)]
        questions, media = [row["question"] for row in rows], [row["media"] for row in rows]
        if mode == "reference":
            references = [row["reference"] for row in rows]
            values, statuses = reference_rewards(
                scorer, task=task, texts=questions, candidates=answers, references=references, media=media
            )
        else:
            values, statuses = score_rewards(
                scorer, task=task, texts=questions, candidates=answers, media=media, contract=contract
            )
        tally.add(statuses)
        rewards = torch.tensor(apply_policy(values, statuses, policy=policy, groups=labels), dtype=torch.float32)
        rate = torch.full_like(rewards, tally.rate)
        return {"rewards": rewards, "scores": rewards, "extra_logs": {"urt_failure_rate": rate}}

    return reward_func


def label_of(label: str) -> dict[str, Any]:
    try:
        row = json.loads(label)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"label {label!r:.80} is not JSON ({error}); it must hold question and media") from error
    if not isinstance(row, dict) or not {"question", "media"} <= row.keys():
        raise ConfigError(f"label {label!r:.80} must be a JSON object with question and media")
    return row


def answer_of(query: str, prompt: str, end_tokens: Sequence[str]) -> str:
    """A query is the prompt and what followed, decoded with special tokens."""
    answer = query.removeprefix(prompt) if query.startswith(prompt) else query.rsplit("assistant\n", 1)[-1]
    answer = answer.strip()
    while ending := next((token for token in end_tokens if answer.endswith(token)), None):
        answer = answer.removesuffix(ending).strip()
    return answer
