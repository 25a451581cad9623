"""Sample G completions for each prompt of a batch: one prefill per prompt, one shared-prompt decoding loop, finished
rows dropped."""

import hashlib
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import DynamicCache

from urt_core.engines.model.shared_prompt import SharedPromptCache, decoding_attention

# Dropping rows copies the living ones, so it waits until a fifth of them has finished.
COMPACT_BELOW = 0.8


class Decoded(NamedTuple):
    """`token_ids`, `logprobs` [P * G, max_tokens], meaningful up to `lengths` [P * G]; `stopped` [P * G]: ended by an
    EOS (included).

    `top_ids`, `top_logprobs` [P * G, max_tokens, K]: the likeliest tokens of each position, likeliest first.
    """

    token_ids: Tensor
    logprobs: Tensor
    lengths: Tensor
    stopped: Tensor
    top_ids: Tensor
    top_logprobs: Tensor


@torch.no_grad()
def decode(
    module: Any,
    batch: dict[str, Tensor],
    *,
    num_completions: int,
    max_tokens: int,
    temperature: float,
    top_p: float,
    eos_token_ids: Collection[int],
    forbidden_token_ids: Collection[int],
    uniforms: Tensor | None,
    num_top: int = 0,
    is_wanted: Callable[[int], bool] | None = None,
) -> Decoded:
    """`batch` is that of `encode_prompts`, left-padded, on the module's device; `uniforms` [P * G, max_tokens] drive
    the sampling.

    `is_wanted` is asked before each step about each row that is still being written: one that nobody waits for any more
    ends there.
    """
    device = batch["input_ids"].device
    position_ids, next_position = prompt_positions(module, batch)
    prefilled = DynamicCache(config=module.config)
    logits = module(
        **batch, position_ids=position_ids, past_key_values=prefilled, use_cache=True, logits_to_keep=1
    ).logits[:, -1]
    cache = SharedPromptCache(prefilled, prompt_mask=batch["attention_mask"], group_size=num_completions)

    logits = logits.repeat_interleave(num_completions, dim=0)
    position = next_position.repeat_interleave(num_completions)
    num_rows = len(logits)
    eos = torch.tensor(sorted(eos_token_ids), device=device)
    forbidden = torch.tensor(sorted(forbidden_token_ids), dtype=torch.long, device=device)
    token_ids = torch.zeros(num_rows, max_tokens, dtype=torch.long, device=device)
    logprobs = torch.zeros(num_rows, max_tokens, device=device)
    lengths = torch.full((num_rows,), max_tokens, device=device)
    stopped = torch.zeros(num_rows, dtype=torch.bool, device=device)
    top_ids = torch.zeros(num_rows, max_tokens, num_top, dtype=torch.long, device=device)
    top_logprobs = torch.zeros(num_rows, max_tokens, num_top, device=device)
    alive = torch.arange(num_rows, device=device)

    with decoding_attention(module):
        for step in range(max_tokens):
            uniform = None if uniforms is None else uniforms[alive, step]
            token, logprob, likely = sample(
                logits, temperature=temperature, top_p=top_p, forbidden=forbidden, uniform=uniform, num_top=num_top
            )
            token_ids[alive, step], logprobs[alive, step] = token, logprob
            if num_top:
                top_logprobs[alive, step], top_ids[alive, step] = likely
            ended = torch.isin(token, eos) & ~stopped[alive]
            lengths[alive[ended]] = step + 1
            stopped[alive[ended]] = True
            if is_wanted is not None:
                left = torch.tensor([not is_wanted(row) for row in alive.tolist()], device=device) & ~stopped[alive]
                lengths[alive[left]] = step + 1
                stopped[alive[left]] = True

            living = (~stopped[alive]).nonzero()[:, 0]
            if len(living) == 0 or step + 1 == max_tokens:
                break
            if len(living) < COMPACT_BELOW * len(alive):
                cache.keep(living)
                alive, token, position = alive[living], token[living], position[living]
            step_positions = (
                position[None, :, None].expand(position_ids.shape[0], -1, 1)
                if position_ids.ndim == 3
                else position[:, None]
            )
            logits = module(
                input_ids=token[:, None],
                position_ids=step_positions,
                past_key_values=cache.cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
            position = position + 1
    return Decoded(token_ids, logprobs, lengths, stopped, top_ids, top_logprobs)


def sample(
    logits: Tensor, *, temperature: float, top_p: float, forbidden: Tensor, uniform: Tensor | None, num_top: int = 0
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Next tokens [rows] and their fp32 log-probabilities under softmax(logits / temperature), over the whole
    vocabulary; and the log-probabilities and ids [rows, num_top] of the likeliest tokens.

    Greedy (`uniform` None) reports temperature 1. Forbidden tokens and `top_p` restrict which token is drawn and not
    the reported log-probability, so that it is the one a trainer computes from the same logits.
    """
    logits = logits.float()
    if uniform is not None:
        logits = logits / temperature
    logprobs = logits.log_softmax(-1)
    allowed = logits.index_fill(-1, forbidden, -torch.inf)
    if uniform is None:
        token = allowed.argmax(-1)
    else:
        token = draw(allowed.softmax(-1), top_p=top_p, uniform=uniform)
    values, indices = logprobs.topk(num_top)
    return token, logprobs.gather(-1, token[:, None])[:, 0], (values, indices)


def draw(probabilities: Tensor, *, top_p: float, uniform: Tensor) -> Tensor:
    """Inverse-CDF sampling: one uniform number decides one token, so a row's completion does not depend on its
    neighbours."""
    order = None
    if top_p < 1:
        probabilities, order = probabilities.sort(dim=-1, descending=True)
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= top_p, 0)
    cumulative = probabilities.cumsum(-1)
    total = cumulative[:, -1:]
    # Below the total, so that rounding can't step past the last token of non-zero probability.
    target = torch.minimum(uniform[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    token = torch.searchsorted(cumulative, target, right=True)
    return (token if order is None else order.gather(-1, token))[:, 0]


def prompt_positions(module: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Position ids of the prompt ([3, P, T] for M-RoPE models, else [P, T]) and the position [P] of the first generated
    token."""
    mask = batch["attention_mask"]
    rope = next((part for part in module.modules() if hasattr(part, "get_rope_index")), None)
    if rope is None:
        return (mask.cumsum(-1) - 1).clamp(min=0), mask.sum(-1)
    position_ids, deltas = rope.get_rope_index(
        batch["input_ids"],
        mm_token_type_ids=batch["mm_token_type_ids"],
        image_grid_thw=batch.get("image_grid_thw"),
        attention_mask=mask,
    )
    return position_ids, mask.sum(-1) + deltas[:, 0]


def uniform_numbers(seed: int, rows: Collection[tuple[int, int]], *, max_tokens: int) -> Tensor:
    """[rows, max_tokens] in [0, 1): the row of (prompt, completion) is a function of (seed, prompt, completion)
    alone."""
    numbers = []
    for prompt, completion in rows:
        digest = hashlib.sha256(f"{seed}:{prompt}:{completion}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
        numbers.append(torch.rand(max_tokens, generator=generator))
    return torch.stack(numbers)
