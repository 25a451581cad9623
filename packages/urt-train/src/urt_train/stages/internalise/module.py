"""Votes in, a judge that answers at once out.

records --render--> prompts, each with its verdicts and what is left of the reasoning --policy--> loss
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from urt_core import Dialect, Judgement, Preference, PreferenceRecord, parse_judgement, render, verdict_text
from urt_kernels import SurrogateInputs
from urt_train.model.batching import (
    TokenBatch,
    encode_completions,
    pack_completions,
    pack_values,
    prompts_within,
    select_prompts,
    shortest_prompts,
)
from urt_train.model.policy import Policy
from urt_train.runtime.ranks import all_sum
from urt_train.stages.internalise.config import InternaliseConfig, Removal, RoundPlan, Targets
from urt_train.stages.internalise.votes import SHARE
from urt_train.stages.module import StageModule


class Text(NamedTuple):
    """A text to imitate: Text(ids=[5, 1], weights=[0.75, 0.75], share=0.75)"""

    ids: list[int]
    weights: list[float]
    """Of each token in the loss."""
    share: float = 0.0
    """Of the votes, where it is a verdict that stands alone."""


NO_TEXT = Text([], [])


class Lesson(NamedTuple):
    """Lesson(reasoning=[310, 12, 7], verdicts=([5, 1], [6, 1]), share=0.75); what is replayed has its judgement as reasoning and no
    verdicts beside it."""

    reasoning: list[int]
    verdicts: tuple[list[int], list[int]] | None
    """Tokens of "the first is better" and of "the second is better", each with its end."""
    share: float
    """Of the votes for the first."""
    judgements: tuple[list[int], list[int]] | None = None
    """With `targets=on_policy` the judgement of the pair that ends with either verdict, in the order of `verdicts`."""

    def texts(self, removed: float) -> list[Text]:
        """One or two, where a share `removed` of the reasoning is gone.

        The verdict counts as one, so that alone it is the cross-entropy to the votes; what stands before it counts as one more, spread
        over its tokens. While some of the reasoning is shown, the verdict is the one that it leads to.
        """
        kept = self.reasoning[math.ceil(removed * len(self.reasoning)) :] if self.verdicts else self.reasoning
        before = [1 / len(kept)] * len(kept) if kept else []
        if self.verdicts is None:
            return [Text(kept, before)]
        if kept:
            verdict = self.verdicts[self.share < 0.5]
            return [Text(kept + verdict, before + [1.0] * len(verdict))]
        shares = zip(self.verdicts, (self.share, 1 - self.share), strict=True)
        return [
            Text(verdict, [share] * len(verdict), share) for verdict, share in shares if share > 0 or self.judgements
        ]


class Lessons(NamedTuple):
    """Lessons(prompts={"input_ids": [P, T], ...}, lessons=[Lesson(...), ...])"""

    prompts: Mapping[str, Tensor]
    lessons: list[Lesson]
    asked_to_reason: Mapping[str, Tensor] | None = None
    """With `targets=on_policy` the same pairs as the judge is asked to reason about them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InstantBatch(TokenBatch):
    """Prompts with up to two texts each: InstantBatch(prompts=..., completion_ids=[P, 2, C], weights=[P, 2, C], shares=[P, 2])

    `num_sequences` counts the lessons of the whole optimizer step.
    """

    weights: Float[Tensor, "P 2 C"]
    """Of each token in the loss."""
    shares: Float[Tensor, "P 2"]
    """Of the votes for each text, where verdicts stand alone; 0 elsewhere."""
    teacher: TokenBatch | None = None
    """With `targets=on_policy` the judgements [P, 2, C] whose verdicts are those of `completion_ids`."""

    def to(self, device: torch.device) -> InstantBatch:
        return replace(
            self,
            prompts={name: tensor.to(device) for name, tensor in self.prompts.items()},
            teacher=self.teacher and self.teacher.to(device),
            **{name: tensor.to(device) for name, tensor in self.by_completion().items()},
        )


class Internalise(StageModule):
    """Internalise(policy, config, plan=plan, num_steps=300)

    The loss of a bare verdict is - p log q(first) - (1 - p) log q(second), p the share of the votes and q the judge's own probability of
    the text: the cross-entropy to the votes, which is their Kullback-Leibler divergence from it but for a constant (arXiv 2606.09076,
    reasoning distilled into scores). A pair is there in both orders, with p and 1 - p.

    With `targets=on_policy` p is the policy's own, as it is in that step, behind its reasoning: of the judgement of the pair, ended by
    either verdict, the share of the one that names the first. A direct answer and the end of a judgement are different words, so that the
    divergence is that over the two verdicts, not over the vocabulary.
    """

    config: InternaliseConfig

    def __init__(self, policy: Policy, config: InternaliseConfig, *, plan: RoundPlan, num_steps: int) -> None:
        super().__init__(policy, config, num_steps=num_steps)
        self.plan = plan

    def collate(self, records: Sequence[PreferenceRecord]) -> Lessons:
        own = self.policy.spec.dialect
        prompts = [render(record, Dialect.DIRECT if SHARE in record.metadata else own) for record in records]
        asked = None
        if self.config.targets is Targets.on_policy:
            asked = self.policy.encode([render(record, own) for record in records])
        return Lessons(self.policy.encode(prompts), [self.lesson(record) for record in records], asked)

    def lesson(self, record: PreferenceRecord) -> Lesson:
        text = record.completion or ""
        if SHARE not in record.metadata:
            [judgement] = encode_completions(self.policy.tokenizer, [text])
            return Lesson(judgement, None, 0.0)
        first, second = encode_completions(
            self.policy.tokenizer,
            [verdict_text(record.task, side, dialect=Dialect.DIRECT) for side in (Preference.FIRST, Preference.SECOND)],
        )
        reasoning: list[int] = []
        if self.config.removal is Removal.front:
            read = parse_judgement(text, task=record.task, dialect=self.policy.spec.dialect)
            if isinstance(read, Judgement) and read.reasoning:
                reasoning = self.policy.tokenizer(read.reasoning + "\n", add_special_tokens=False)["input_ids"]
        judgements = self.both_judgements(record) if self.config.targets is Targets.on_policy else None
        return Lesson(reasoning, (first, second), float(record.metadata[SHARE]), judgements)

    def both_judgements(self, record: PreferenceRecord) -> tuple[list[int], list[int]] | None:
        """The judgement of the pair with its verdict and with the other one, that for the first candidate first; None where there is none
        or it is too long to have both, and the votes stand."""
        text, dialect = record.completion or "", self.policy.spec.dialect
        first, second = (
            verdict_text(record.task, side, dialect=dialect) for side in (Preference.FIRST, Preference.SECOND)
        )
        read = parse_judgement(text, task=record.task, dialect=dialect)
        if not isinstance(read, Judgement) or read.verdict is Preference.TIE:
            return None
        before, said, after = text.rpartition(first if read.verdict is Preference.FIRST else second)
        if not said:
            return None
        both = encode_completions(self.policy.tokenizer, [before + first + after, before + second + after])
        return (both[0], both[1]) if max(map(len, both)) <= self.config.max_completion_tokens else None

    def removed(self, number: int) -> float:
        """The share of each reasoning that is gone in round `number`: a line from 0 to 1 (arXiv 2405.14838 takes away as many tokens of
        each, here each is gone at the same time)."""
        if self.config.removal is Removal.at_once:
            return 1.0
        return min(1.0, number / (self.config.removal_until * self.num_steps))

    def make_round(self, draw: Callable[[], Lessons], number: int) -> list[InstantBatch]:
        """Micro-batches of one optimizer step."""
        with self.timed("data"):
            prompts, lessons, asked = draw()
            texts = [lesson.texts(self.removed(number)) for lesson in lessons]
            longest = self.config.max_completion_tokens
            short = set(prompts_within(asked or prompts, self.config.max_prompt_tokens))
            fits = [
                row
                for row in prompts_within(prompts, self.config.max_prompt_tokens)
                if row in short and all(len(text.ids) <= longest for text in texts[row])
            ]
            lengths = prompts["attention_mask"].sum(-1)
            self.note_left_out(lengths, num_kept=len(fits))
            rows = fits or shortest_prompts(prompts)
            (num_lessons,) = all_sum([len(fits)], device=self.policy.device)
            teacher = None
            if asked is not None:
                is_bare = self.removed(number) >= 1
                judged = [(lessons[row].judgements if fits and is_bare else None) or ([], []) for row in rows]
                ids, mask = pack_completions(judged)
                teacher = TokenBatch(prompts=select_prompts(asked, rows), completion_ids=ids, completion_mask=mask)
            return self.micro_batches(
                select_prompts(prompts, rows),
                [texts[row] if fits else [] for row in rows],
                num_lessons=num_lessons,
                teacher=teacher,
            )

    def micro_batches(
        self,
        prompts: Mapping[str, Tensor],
        texts: Sequence[Sequence[Text]],
        *,
        num_lessons: float,
        teacher: TokenBatch | None = None,
    ) -> list[InstantBatch]:
        pairs = [[*own, NO_TEXT, NO_TEXT][:2] for own in texts]
        ids, mask = pack_completions([[text.ids for text in pair] for pair in pairs])
        whole = InstantBatch(
            prompts=prompts,
            completion_ids=ids,
            completion_mask=mask,
            weights=pack_values([[text.weights for text in pair] for pair in pairs], length=ids.shape[-1]),
            shares=torch.tensor([[text.share for text in pair] for pair in pairs]),
            num_sequences=num_lessons,
        )
        order = (prompts["attention_mask"].sum(-1) + mask.sum((1, 2))).argsort(stable=True).tolist()
        size = self.plan.batch_size // 2
        chosen = [order[start : start + size] for start in range(0, len(order), size)]
        parts = [
            replace(whole.select(rows).trimmed(), teacher=teacher and teacher.select(rows).trimmed()) for rows in chosen
        ]
        empty = replace(parts[-1], completion_mask=torch.zeros_like(parts[-1].completion_mask)).trimmed()
        return parts + [empty] * (self.plan.batches_per_round - len(parts))

    def training_step(self, batch: InstantBatch, batch_idx: int) -> Tensor:
        if batch.teacher is not None:
            batch = self.taught_by_itself(batch, batch.teacher)
        mask = batch.completion_mask
        result = self.policy.token_loss(
            batch, surrogate=weighted_nll, advantages=batch.weights[mask], num_tokens=max(batch.num_sequences, 1.0)
        )
        own = result.policy_logprobs.sum(-1)
        shares = batch.shares * mask.any(-1)
        is_bare = shares.sum(-1) > 0
        divergence = torch.special.xlogy(shares, shares) - shares * own
        self.add(
            loss=result.loss,
            num_lessons=mask.any(-1).any(-1).sum(),
            num_bare=is_bare.sum(),
            divergence=divergence.sum(),
            probability=(own.exp() * shares).sum(),
            num_tokens=mask.sum(),
            prompt_tokens=batch.prompts["attention_mask"].sum(),
        )
        return self.step_share(result.loss)

    @torch.no_grad()
    def taught_by_itself(self, batch: InstantBatch, teacher: TokenBatch) -> InstantBatch:
        """The batch with the policy's own shares in place of the votes, where it has a judgement with both verdicts."""
        shares = self.policy.token_logprobs(teacher).logprobs.sum(-1).softmax(-1)
        is_taught = teacher.completion_mask.any(-1).all(-1)
        weights = shares[..., None] * batch.completion_mask
        return replace(
            batch,
            shares=torch.where(is_taught[:, None], shares, batch.shares),
            weights=torch.where(is_taught[:, None, None], weights, batch.weights),
        )

    def metrics(self, sums: Mapping[str, float]) -> dict[str, float]:
        lessons, bare = max(sums["num_lessons"], 1.0), max(sums["num_bare"], 1.0)
        return {
            "loss": sums["loss"],
            "share/bare": sums["num_bare"] / lessons,
            "kl/votes": sums["divergence"] / bare,
            "probability/votes": sums["probability"] / bare,
            "length/completion": sums["num_tokens"] / lessons,
            "length/prompt": sums["prompt_tokens"] / lessons,
            "left_out": sums["num_left_out"],
        }


def weighted_nll(inputs: SurrogateInputs) -> Float[Tensor, " n"]:
    """- w log p for each token."""
    return -inputs.needed("advantages") * inputs.policy_logprobs
