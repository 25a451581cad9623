"""Right and wrong judgements in, the policy's preference between them out.

records --render--> prompts, each with [right, wrong] --reference policy--> its log-probs --policy--> loss
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from urt_core import PreferenceRecord, render
from urt_core.engines.transformers import evaluation_mode
from urt_core.errors import DataError
from urt_kernels.surrogates import dpo
from urt_train.datasets.rejection import REJECTED
from urt_train.model.batching import (
    TokenBatch,
    encode_completions,
    pack_completions,
    prompts_within,
    select_prompts,
    shortest_prompts,
)
from urt_train.model.policy import Policy
from urt_train.runtime.ranks import all_sum
from urt_train.stages.dpo.config import DPOConfig, RoundPlan
from urt_train.stages.module import StageModule


@dataclass(frozen=True, kw_only=True, slots=True)
class ContrastBatch(TokenBatch):
    """Prompts with two judgements each, the right one first: ContrastBatch(prompts=..., completion_ids=[P, 2, C], reference_logprobs=[P, 2, C])

    `num_sequences` counts the pairs of the whole optimizer step.
    """

    reference_logprobs: Float[Tensor, "P 2 C"] | None = None


class Contrasts(NamedTuple):
    """Contrasts(prompts={"input_ids": [P, T], ...}, completions=[([12, 7, 151645], [12, 9, 151645]), ...]), the right one first"""

    prompts: Mapping[str, Tensor]
    completions: list[tuple[list[int], list[int]]]


class DPO(StageModule):
    """DPO(policy, config, plan=plan, num_steps=60); the reference is the policy as it is handed over."""

    config: DPOConfig

    def __init__(self, policy: Policy, config: DPOConfig, *, plan: RoundPlan, num_steps: int) -> None:
        super().__init__(policy, config, num_steps=num_steps)
        self.plan = plan
        self.references = (
            policy.reference(),
        )  # in a tuple, because a module would be saved and wrapped with the policy
        self.frozen = () if self.references[0] is policy else self.references

    def collate(self, records: Sequence[PreferenceRecord]) -> Contrasts:
        texts = [judgements_of(record) for record in records]
        right, wrong = (encode_completions(self.policy.tokenizer, column) for column in zip(*texts, strict=True))
        dialect = self.policy.spec.dialect
        prompts = self.policy.encode([render(record, dialect) for record in records])
        return Contrasts(prompts, list(zip(right, wrong, strict=True)))

    def make_round(self, draw: Callable[[], Contrasts], number: int) -> list[ContrastBatch]:
        """Micro-batches of one optimizer step, with the reference policy's log-probs."""
        with self.timed("data"):
            batches = self.micro_batches(draw())
        with self.computing(), self.timed("logprobs"), evaluation_mode(self.policy), torch.no_grad():
            return [self.with_reference(batch) for batch in batches]

    def micro_batches(self, contrasts: Contrasts) -> list[ContrastBatch]:
        prompts, completions = contrasts
        fits = [
            row
            for row in prompts_within(prompts, self.config.max_prompt_tokens)
            if max(map(len, completions[row])) <= self.config.max_completion_tokens
        ]
        lengths = prompts["attention_mask"].sum(-1)
        self.note_left_out(lengths, num_kept=len(fits))
        rows = fits or shortest_prompts(prompts)
        ids, mask = pack_completions([completions[row] if fits else [[], []] for row in rows])
        (num_pairs,) = all_sum([len(fits)], device=self.policy.device)
        whole = ContrastBatch(
            prompts=select_prompts(prompts, rows), completion_ids=ids, completion_mask=mask, num_sequences=num_pairs
        )
        order = (lengths[rows] + mask.sum((1, 2))).argsort(stable=True).tolist()
        size = self.plan.batch_size // 2
        parts = [whole.select(order[start : start + size]).trimmed() for start in range(0, len(order), size)]
        empty = replace(parts[-1], completion_mask=torch.zeros_like(parts[-1].completion_mask)).trimmed()
        return parts + [empty] * (self.plan.batches_per_round - len(parts))

    def with_reference(self, batch: ContrastBatch) -> ContrastBatch:
        logprobs = self.references[0].reference_logprobs(batch.to(self.policy.device))
        return replace(batch, reference_logprobs=logprobs.to(batch.completion_ids.device))

    def training_step(self, batch: ContrastBatch, batch_idx: int) -> Tensor:
        assert batch.reference_logprobs is not None
        result = self.policy.token_loss(
            batch,
            surrogate=partial(dpo, beta=self.config.beta),
            sequences_together=2,
            reference_logprobs=batch.reference_logprobs,
            num_tokens=max(batch.num_sequences, 1.0),
        )
        margins = preference_margins(result.policy_logprobs, batch.reference_logprobs, beta=self.config.beta)
        is_pair = batch.completion_mask.any(-1).all(-1)
        own = result.policy_logprobs.sum(-1)
        self.add(
            loss=result.loss,
            num_pairs=is_pair.sum(),
            num_tokens=batch.completion_mask.sum(),
            prompt_tokens=batch.prompts["attention_mask"].sum(),
            margin=(margins * is_pair).sum(),
            num_preferred=((margins > 0) & is_pair).sum(),
            right_logprob=(own[:, 0] * is_pair).sum(),
            wrong_logprob=(own[:, 1] * is_pair).sum(),
        )
        return self.step_share(result.loss)

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        pairs = max(sums["num_pairs"], 1.0)
        return {
            "loss": sums["loss"],
            "margin": sums["margin"] / pairs,
            "share/preferred": sums["num_preferred"] / pairs,
            "logprob/right": sums["right_logprob"] / pairs,
            "logprob/wrong": sums["wrong_logprob"] / pairs,
            "length/completion": sums["num_tokens"] / pairs / 2,
            "length/prompt": sums["prompt_tokens"] / pairs,
            "left_out": sums["num_left_out"],
        }


def preference_margins(
    policy: Float[Tensor, "P 2 C"], reference: Float[Tensor, "P 2 C"], *, beta: float
) -> Float[Tensor, " P"]:
    """beta (log pi(right) / pi_ref(right) - log pi(wrong) / pi_ref(wrong)), the argument of the sigmoid in arXiv 2305.18290, eq. 7; log-probs are 0
    outside of their completion."""
    rewards = beta * (policy - reference).sum(-1)
    return rewards[:, 0] - rewards[:, 1]


def judgements_of(record: PreferenceRecord) -> tuple[str, str]:
    """The right and the wrong judgement of a record of a contrasts shard."""
    wrong: Any = record.metadata.get(REJECTED)
    if not record.completion or not isinstance(wrong, str) or not wrong:
        raise DataError(
            f"record {record.key!r} has no right judgement (`completion`) or no wrong one (metadata {REJECTED!r}); allowed: shards that"
            " rejection sampling writes as data/contrasts, or such as have both"
        )
    return record.completion, wrong
