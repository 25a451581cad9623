"""Prompts with their completions as tensors: what the policy computes log-probs of, and how a batch is cut into
micro-batches.

A batch holds each prompt once and its completions beside it; how both are laid out in a forward pass (padded, shared
prefix) is the policy's business. Shape letters: `P` prompts, `G` completions of each, `C` completion tokens, `T` prompt
tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from urt_core.engines.image_slots import family_of

Batch = TypeVar("Batch", bound="TokenBatch")
PROMPT_ROWS = ("input_ids", "attention_mask", "mm_token_type_ids")
"""Tensors of `encode_prompts` with one row of tokens per prompt; the others are those of the images, which the model's
family knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenBatch:
    """Two prompts with four completions each: TokenBatch(prompts={"input_ids": [2, T], ...}, completion_ids=[2, 4, C],
    ...)"""

    prompts: Mapping[str, Tensor]
    """What `encode_prompts` returns, left-padded."""
    completion_ids: Int[Tensor, "P G C"]
    """Sampled or target tokens, EOS included, right-padded with 0."""
    completion_mask: Bool[Tensor, "P G C"]
    """True up to and including the EOS. A completion without any True takes part in no loss."""
    num_tokens: float = 1.0
    """Completion tokens of the whole optimizer step, over all micro-batches and ranks: the divisor of a token mean."""
    num_sequences: float = 1.0
    """Completions of the whole optimizer step, over all micro-batches and ranks: the divisor of a sequence mean."""

    def to(self: Batch, device: torch.device) -> Batch:
        return replace(
            self,
            prompts={name: tensor.to(device) for name, tensor in self.prompts.items()},
            **{name: tensor.to(device) for name, tensor in self.by_completion().items()},
        )

    def select(self: Batch, chosen: Sequence[int]) -> Batch:
        """Some of the prompts with their images and completions."""
        rows = torch.tensor(chosen, dtype=torch.long)
        return replace(
            self,
            prompts=select_prompts(self.prompts, chosen),
            **{name: value[rows] for name, value in self.by_completion().items()},
        )

    def completions(self: Batch, start: int, stop: int) -> Batch:
        """The same prompts with completions `start` to `stop` of each group."""
        return replace(self, **{name: value[:, start:stop] for name, value in self.by_completion().items()})

    def by_completion(self) -> dict[str, Tensor]:
        """The tensors that begin with [P, G]."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, Tensor)}

    def trimmed(self: Batch) -> Batch:
        """Without the columns that are padding in every completion, and those that are padding in every prompt."""
        columns = max(1, int(self.completion_mask.sum(-1).max()))
        first = int(self.prompts["attention_mask"].argmax(-1).min())
        prompts = {name: tensor[:, first:] if name in PROMPT_ROWS else tensor for name, tensor in self.prompts.items()}
        by_token = {name: value for name, value in self.by_completion().items() if value.dim() == 3}
        return replace(self, prompts=prompts, **{name: value[..., :columns] for name, value in by_token.items()})


@dataclass(frozen=True, kw_only=True, slots=True)
class SFTBatch(TokenBatch):
    """Prompts with the one completion to imitate: SFTBatch(prompts=..., completion_ids=[P, 1, C], completion_mask=[P,
    1, C])"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperienceBatch(TokenBatch):
    """What a rollout found out about its completions.

    ExperienceBatch(prompts=..., completion_ids=[P, G, C], ..., advantages=[P, G], rollout_logprobs=[P, G, C])
    """

    advantages: Float[Tensor, "P G"]
    rollout_logprobs: Float[Tensor, "P G C"]
    """Log-probs under the weights that sampled: the engine's, or the trainer's own before the first step."""
    reference_logprobs: Float[Tensor, "P G C"] | None = None
    """Log-probs under the reference policy; None without a KL term."""
    old_logprobs: Float[Tensor, "P G C"] | None = None
    """The trainer's own log-probs at rollout time, where importance weights correct for the engine's."""
    is_skipped: bool = False
    """No rank has anything in this micro-batch, and all of them leave it out."""


def pack_completions(rows: Sequence[Sequence[Sequence[int]]]) -> tuple[Int[Tensor, "P G C"], Bool[Tensor, "P G C"]]:
    """Token ids of G completions for each of P prompts -> ids and mask, padded on the right."""
    longest = max(1, max(len(ids) for group in rows for ids in group))
    ids = torch.zeros(len(rows), len(rows[0]), longest, dtype=torch.long)
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for prompt, group in enumerate(rows):
        for completion, tokens in enumerate(group):
            ids[prompt, completion, : len(tokens)] = torch.tensor(tokens, dtype=torch.long)
            mask[prompt, completion, : len(tokens)] = True
    return ids, mask


def pack_values(rows: Sequence[Sequence[Sequence[float]]], *, length: int) -> Float[Tensor, "P G C"]:
    """One number per completion token, 0 on the padding."""
    return torch.stack(
        [
            torch.stack([pad(torch.tensor(values, dtype=torch.float32), (0, length - len(values))) for values in group])
            for group in rows
        ]
    )


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several with groups of one size; what they do not hold by prompt or completion is the first one's."""
    width = max(batch.prompts["input_ids"].shape[1] for batch in batches)
    columns = max(batch.completion_ids.shape[-1] for batch in batches)
    prompts = {
        name: torch.cat([pad(rows, (width - rows.shape[1], 0)) for rows in (batch.prompts[name] for batch in batches)])
        for name in PROMPT_ROWS
        if name in batches[0].prompts
    }
    if (family := next(filter(None, (family_of(batch.prompts) for batch in batches)), None)) is not None:
        prompts |= family.join([batch.prompts for batch in batches])
    by_completion = {
        name: torch.cat(
            [
                pad(values, (0, columns - values.shape[-1])) if values.dim() == 3 else values
                for values in (batch.by_completion()[name] for batch in batches)
            ]
        )
        for name in batches[0].by_completion()
    }
    return replace(batches[0], prompts=prompts, **by_completion)


def expand_prompts(prompts: Mapping[str, Tensor], group_size: int) -> dict[str, Tensor]:
    """Each prompt, with its images, `group_size` times in a row: what a layout without sharing computes."""
    return select_prompts(prompts, [row for row in range(len(prompts["input_ids"])) for _ in range(group_size)])


def select_prompts(prompts: Mapping[str, Tensor], chosen: Sequence[int]) -> dict[str, Tensor]:
    """Some prompts of a batch with their images; a prompt may be chosen more than once."""
    rows = torch.tensor(chosen, dtype=torch.long)
    selected = {name: prompts[name][rows] for name in PROMPT_ROWS if name in prompts}
    if (family := family_of(prompts)) is not None:
        own = images_of_prompts(prompts)
        images = [int(image) for prompt in chosen for image in own[prompt]]
        if images:
            selected |= family.take(prompts, images=images, chosen=chosen)
    return selected


def images_of_prompts(prompts: Mapping[str, Tensor]) -> list[Tensor]:
    """Which images of the batch belong to each prompt."""
    family = family_of(prompts)
    numbers = [0] * len(prompts["input_ids"]) if family is None else family.num_images(prompts)
    return list(torch.arange(sum(numbers)).split(numbers))


def encode_completions(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of texts to imitate, each with the EOS that ends a turn."""
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [[*row, tokenizer.eos_token_id] for row in rows]


def prompts_within(prompts: Mapping[str, Tensor], max_tokens: int, *, together: int = 1) -> list[int]:
    """Rows of at most `max_tokens`; `together` neighbours stay or go as one."""
    lengths = prompts["attention_mask"].sum(-1)
    fits = (lengths.unflatten(0, (-1, together)) <= max_tokens).all(-1).repeat_interleave(together)
    return fits.nonzero()[:, 0].tolist()


def shortest_prompts(prompts: Mapping[str, Tensor], *, together: int = 1) -> list[int]:
    """The shortest `together` neighbours: where none fits, a rank computes these outside of the loss, in step with the
    others."""
    lengths = prompts["attention_mask"].sum(-1).unflatten(0, (-1, together)).amax(-1)
    first = int(lengths.argmin()) * together
    return list(range(first, first + together))


def sft_batches(
    prompts: Mapping[str, Tensor], completion_rows: Sequence[Sequence[int]], *, num_batches: int, size: int
) -> list[SFTBatch]:
    """`num_batches` micro-batches of `size` sequences, similar lengths together; where there are too few, the last are
    empty."""
    ids, mask = pack_completions([[row] for row in completion_rows])
    whole = SFTBatch(prompts=prompts, completion_ids=ids, completion_mask=mask)
    lengths = prompts["attention_mask"].sum(-1) + mask.sum((1, 2))
    order = lengths.argsort(stable=True).tolist()
    parts = [whole.select(order[start : start + size]).trimmed() for start in range(0, len(order), size)]
    empty = replace(parts[-1], completion_mask=torch.zeros_like(parts[-1].completion_mask)).trimmed()
    return parts + [empty] * (num_batches - len(parts))
