"""Stage 1: imitate a teacher's judgements (arXiv 2505.03318, cold start)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor

from urt_core import Dialect, PreferenceRecord, Prompt, render
from urt_kernels import LinearLoss
from urt_train.config import Mean
from urt_train.config.stage import ImitationConfig, RoundPlan
from urt_train.datasets.distill import DIALECT
from urt_train.model.batching import (
    SFTBatch,
    encode_completions,
    prompts_within,
    select_prompts,
    sft_batches,
    shortest_prompts,
)
from urt_train.model.policy import Policy
from urt_train.runtime.ranks import all_sum
from urt_train.stages.module import StageModule


class Examples(NamedTuple):
    """Examples(prompts={"input_ids": [P, T], "pixel_values": ..., ...}, completions=[[12, 7, 151645], ...])"""

    prompts: Mapping[str, Tensor]
    completions: list[list[int]]


class ColdStart(StageModule):
    """Cross-entropy on the completions of an SFT shard.

    ColdStart(policy, config, plan=plan, num_steps=300)
    """

    config: ImitationConfig

    def __init__(self, policy: Policy, config: ImitationConfig, *, plan: RoundPlan, num_steps: int) -> None:
        super().__init__(policy, config, num_steps=num_steps)
        self.plan = plan

    def collate(self, records: Sequence[PreferenceRecord]) -> Examples:
        own = self.policy.spec.dialect
        prompts = [render(record, Dialect(record.metadata.get(DIALECT, own))) for record in records]
        return self.encode(prompts, [record.completion or "" for record in records])

    def encode(self, prompts: Sequence[Prompt], targets: Sequence[str]) -> Examples:
        """Prompts with the texts to imitate, as tokens and pixels."""
        return Examples(self.policy.encode(prompts), encode_completions(self.policy.tokenizer, targets))

    def make_round(self, draw: Callable[[], Examples], number: int) -> list[SFTBatch]:
        """Micro-batches of one optimizer step."""
        with self.timed("data"):
            prompts, completions = draw()
            fits = [
                row
                for row in prompts_within(prompts, self.config.max_prompt_tokens)
                if 1 < len(completions[row]) <= self.config.max_completion_tokens
            ]
            self.note_left_out(prompts["attention_mask"].sum(-1), num_kept=len(fits))
            rows = fits or shortest_prompts(prompts)
            batches = sft_batches(
                select_prompts(prompts, rows),
                [completions[row] if fits else [] for row in rows],
                num_batches=self.plan.batches_per_round,
                size=self.plan.batch_size,
            )
        tokens, sequences = all_sum(
            [sum(int(batch.completion_mask.sum()) for batch in batches), len(fits)], device=self.policy.device
        )
        return [replace(batch, num_tokens=tokens, num_sequences=sequences) for batch in batches]

    def training_step(self, batch: SFTBatch, batch_idx: int) -> Tensor:
        result = cross_entropy(self.policy, batch, mean=self.config.mean)
        self.add(
            loss=result.loss,
            num_tokens=batch.completion_mask.sum(),
            num_right_tokens=result.top1.sum(),
            num_sequences=batch.completion_mask.any(-1).sum(),
            prompt_tokens=batch.prompts["attention_mask"].sum(),
        )
        return self.step_share(result.loss)

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        sequences = max(sums["num_sequences"], 1.0)
        return {
            "loss": sums["loss"],
            "right_tokens": sums["num_right_tokens"] / max(sums["num_tokens"], 1.0),
            "length/completion": sums["num_tokens"] / sequences,
            "length/prompt": sums["prompt_tokens"] / sequences,
            "left_out": sums["num_left_out"],
        }


def cross_entropy(policy: Policy, batch: SFTBatch, *, mean: Mean = Mean.tokens) -> LinearLoss:
    """- sum_t log p(y_t | x, y_<t) on the completion (arXiv 2505.03318, cold start), as a mean over the tokens of the
    step, or over its completions of their means: sum_i 1/|y_i| sum_t / N."""
    if mean is Mean.sequences:
        return policy.token_loss(
            batch, surrogate="nll", aggregation="grpo", num_sequences=max(batch.num_sequences, 1.0)
        )
    return policy.token_loss(batch, surrogate="nll", num_tokens=max(batch.num_tokens, 1.0))
