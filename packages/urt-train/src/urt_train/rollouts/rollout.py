"""Completions of a group in, rewards and tensors out: what GRPO does between the engine and the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from urt_core import Completion, Dialect, PreferenceRecord, Prompt, SamplingParams
from urt_core.engines import FinishReason
from urt_core.rewards import RewardInput, scores_every_dimension
from urt_core.rewards import Rewards as RewardFunctions
from urt_train.config import Orders
from urt_train.model.batching import ExperienceBatch, pack_completions, pack_values
from urt_train.runtime.ranks import derived_seed


@dataclass(frozen=True, kw_only=True, slots=True)
class Rewards:
    """Rewards of P groups: Rewards(parts=("format", "accuracy"), weights=(1.0, 1.0), values=[P, G, 2], unsaid=[P,
    G])"""

    parts: tuple[str, ...]
    weights: tuple[float, ...]
    values: Float[Tensor, "P G K"]
    unsaid: Bool[Tensor, "P G"]
    """Completions of which a reward could not say what they are worth."""

    def plus(self, part: str, values: Float[Tensor, "P G"], *, weight: float) -> Rewards:
        """With one more part."""
        return replace(
            self,
            parts=(*self.parts, part),
            weights=(*self.weights, weight),
            values=torch.cat([self.values, values[..., None]], dim=-1),
        )

    @property
    def total(self) -> Float[Tensor, "P G"]:
        return (self.values * torch.tensor(self.weights, dtype=self.values.dtype)).sum(-1)

    def of(self, part: str) -> Float[Tensor, "P G"]:
        return self.values[..., self.parts.index(part)]


class Asked(NamedTuple):
    """What a rollout asks an engine: the records as they are shown, their prompts, and those of them that fit."""

    shown: Sequence[PreferenceRecord]
    prompts: Sequence[Prompt]
    encoded: Mapping[str, Tensor]
    wanted: Sequence[Prompt]
    """All of the prompts; none where only one that is too long is left."""
    sampling: SamplingParams


class Begun(NamedTuple):
    """A rollout that is being sampled."""

    asked: Asked
    groups: Future[list[list[Completion]]]
    weights_of: int
    """The rollout in front of which these weights were handed over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampled:
    """Prompts with their sampled and rewarded completions; a group shown in both orders is two neighbouring prompts.

    Sampled(prompts=[...], encoded={"input_ids": [P, T], ...}, groups=[[Completion(...)] * G] * P, rewards=Rewards(...))
    """

    prompts: Sequence[Prompt]
    encoded: Mapping[str, Tensor]
    groups: Sequence[Sequence[Completion]]
    rewards: Rewards

    def without_variance(self, group_size: int, *, by_part: bool = False) -> list[int]:
        """Numbers of the groups whose completions all earned the same: in total, or (where parts are normalised before they are
        weighted) in each part that has a weight."""
        rewards = self.rewards
        weighted = [number for number, weight in enumerate(rewards.weights) if weight]
        earned = rewards.values[..., weighted] if by_part else rewards.total[..., None]
        earned = earned.reshape(-1, group_size, earned.shape[-1])
        return (earned.amax(1) == earned.amin(1)).all(-1).nonzero()[:, 0].tolist()

    def lines(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """What was sampled for some prompts, for a reader: {"key": "train-000017", "text": "<think>...", "reward": 2.0,
        "format": 1.0, ...}"""
        total = self.rewards.total
        return [
            {
                "key": self.prompts[row].key,
                "text": completion.text,
                "tokens": len(completion.token_ids),
                "finish_reason": str(completion.finish_reason),
                "reward": float(total[row, number]),
                **{part: float(self.rewards.of(part)[row, number]) for part in self.rewards.parts},
            }
            for row in rows
            for number, completion in enumerate(self.groups[row])
        ]

    def rows(self, numbers: Sequence[int], per_group: int) -> list[int]:
        return [number * per_group + row for number in numbers for row in range(per_group)]


def replace_groups(
    sampled: Sampled,
    others: Sampled,
    *,
    useless: Callable[[Sampled], list[int]],
    group_size: int,
    encode: Callable[[Sequence[Prompt]], Mapping[str, Tensor]],
) -> Sampled:
    """Put groups of `others` that are not `useless` in the place of those of `sampled` that are."""
    per_group = group_size // sampled.rewards.values.shape[1]
    left_out = set(useless(others))
    useful = [number for number in range(len(others.prompts) // per_group) if number not in left_out]
    pairs = list(zip(useless(sampled), useful, strict=False))
    if not pairs:
        return sampled
    prompts, groups, rewards = list(sampled.prompts), list(sampled.groups), sampled.rewards
    values, unsaid = rewards.values.clone(), rewards.unsaid.clone()
    old, new = (sampled.rows(numbers, per_group) for numbers in zip(*pairs, strict=True))
    for row, other in zip(old, new, strict=True):
        prompts[row], groups[row] = others.prompts[other], others.groups[other]
        values[row], unsaid[row] = others.rewards.values[other], others.rewards.unsaid[other]
    rewards = replace(rewards, values=values, unsaid=unsaid)
    return Sampled(prompts=prompts, encoded=encode(prompts), groups=groups, rewards=rewards)


def shown_orders(records: Sequence[PreferenceRecord], orders: Orders, *, seed: int) -> list[PreferenceRecord]:
    """The records as they will be shown; `both` gives each record and right behind it its swap."""
    if orders is Orders.both:
        return [shown for record in records for shown in (record, record.swap())]
    if orders is Orders.random:
        return [record.swap() if derived_seed(seed, "order", record.key) % 2 else record for record in records]
    return list(records)


def score(
    records: Sequence[PreferenceRecord],
    groups: Sequence[Sequence[Completion]],
    rewards: RewardFunctions,
    *,
    dialect: Dialect,
    reasoning_floor: bool = False,
) -> Rewards:
    """Parse and reward every completion of every group (steps 6 and 7 of the path).

    Below the floor, where a completion does not score every core dimension, nothing above 0 is earned.

    Where a reward could not say (NaN), its part is the mean of those of its group that it could say, so that it moves
    nobody's baseline, and the completion is `unsaid`: it takes no part in the loss.
    """
    samples = [
        RewardInput.read(completion, record, dialect)
        for record, group in zip(records, groups, strict=True)
        for completion in group
    ]
    earned = rewards(samples)
    values = torch.tensor([[reward.parts[name] for name in rewards.weights] for reward in earned])
    values = values.reshape(len(groups), -1, len(rewards.weights))
    is_unsaid = values.isnan()
    if reasoning_floor:
        is_below = torch.tensor([not scores_every_dimension(sample) for sample in samples]).reshape(len(groups), -1)
        values = torch.where(is_below[..., None], values.clamp(max=0.0), values)
    group_means = values.nanmean(1, keepdim=True).nan_to_num(0.0)
    return Rewards(
        parts=tuple(rewards.weights),
        weights=tuple(rewards.weights.values()),
        values=torch.where(is_unsaid, group_means, values),
        unsaid=is_unsaid.any(-1),
    )


def overlong_penalty(lengths: Tensor, *, limit: int, share: float) -> Tensor:
    """0 up to (1 - share) * limit tokens, then on a line down to -1 at the limit (DAPO, arXiv 2503.14476, equation
    13)."""
    buffer = share * limit
    return ((limit - buffer - lengths) / buffer).clamp(-1.0, 0.0)


def probability_ratio_error(trainer: Float[Tensor, " N"], engine: Float[Tensor, " N"]) -> float:
    """mean exp|difference| of the log-probs that trainer and engine give to the same tokens; 1 is agreement (NeMo-RL's
    `token_mult_prob_error`)."""
    return float((trainer - engine).abs().exp().mean())


def is_truncated(completion: Completion) -> bool:
    return completion.finish_reason is FinishReason.LENGTH


def experience(sampled: Sampled, advantages: Float[Tensor, "P G"], *, mask_truncated: bool) -> ExperienceBatch:
    """The whole rollout as one batch, before it is cut."""
    groups = sampled.groups
    ids, mask = pack_completions([[completion.token_ids for completion in group] for group in groups])
    left_out = sampled.rewards.unsaid
    if mask_truncated:
        left_out = left_out | torch.tensor([[is_truncated(completion) for completion in group] for group in groups])
    mask = mask & ~left_out[..., None]
    return ExperienceBatch(
        prompts=sampled.encoded,
        completion_ids=ids,
        completion_mask=mask,
        advantages=advantages,
        rollout_logprobs=pack_values(
            [[completion.logprobs for completion in group] for group in groups], length=ids.shape[-1]
        ),
    )


def right_in_both_orders(accuracy: Float[Tensor, "P G"]) -> Float[Tensor, "P G"]:
    """1 for a right completion whose partner of the same number in the other order is right too."""
    pairs = accuracy.unflatten(0, (-1, 2))
    return pairs.prod(1, keepdim=True).expand_as(pairs).flatten(0, 1)


def no_completions(num_prompts: int, sampling: SamplingParams) -> list[list[Completion]]:
    """Groups that take part in no loss: what a rank has where all its prompts are too long."""
    return [
        [Completion(text="", finish_reason=FinishReason.LENGTH) for _ in range(sampling.num_completions)]
        for _ in range(num_prompts)
    ]


def rollout_sums(sampled: Sampled) -> dict[str, float]:
    """What a rollout contributes to the metrics of its step."""
    completions = [completion for group in sampled.groups for completion in group]
    rewards = sampled.rewards
    return {
        "num_prompts": len(sampled.groups),
        "num_completions": len(completions),
        "num_truncated": sum(map(is_truncated, completions)),
        "num_unsaid": float(rewards.unsaid.sum()),
        "completion_tokens": sum(len(completion.token_ids) for completion in completions),
        "prompt_tokens": float(sampled.encoded["attention_mask"].sum()),
        "reward": float(rewards.total.sum()),
        **{f"reward/{part}": float(rewards.of(part).sum()) for part in rewards.parts},
    }
