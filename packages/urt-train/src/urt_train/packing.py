"""One row for a whole micro-batch: each prompt once, its completions behind it, and no padding between them.

    [prompt 1 | c 1.1 | ... | c 1.G | prompt 2 | c 2.1 | ... ]

Embedding, norms, projections and MLP then work on real tokens alone. A token keeps the position it has in a row of its own (a
completion's go on where its prompt ends), images stand in the order of their prompts, and attention (`shared_prefix`) keeps the
groups apart.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.functional import pad

from urt_train.batching import TokenBatch


class Group(NamedTuple):
    """Tokens of a prompt and of the completions behind it: Group(prompt=300, completions=(96, 128, 0))"""

    prompt: int
    completions: tuple[int, ...]


class PackedRow(NamedTuple):
    """PackedRow(input_ids=[1, N], mm_token_type_ids=[1, N], position_ids=[3, 1, N], groups=(Group(...), ...), sources=[S])"""

    input_ids: Int[Tensor, "1 N"]
    mm_token_type_ids: Int[Tensor, "1 N"]
    position_ids: Int[Tensor, "*axes 1 N"]
    """[3, 1, N] with M-RoPE, else [1, N]."""
    groups: tuple[Group, ...]
    sources: Int[Tensor, " S"]
    """The place in the row that each token of the completion mask is predicted from, in the order of the mask."""


def pack_row(
    batch: TokenBatch, *, position_ids: Int[Tensor, "*axes P T"], next_position: Int[Tensor, " P"]
) -> PackedRow:
    """`position_ids` are those of the prompts, `next_position` where their completions begin."""
    prompts, mask = batch.prompts, batch.completion_mask
    prompt_mask = prompts["attention_mask"].bool()
    # The last token of a completion predicts nothing that is asked for; of a completion outside the loss none does.
    own_mask, own_ids = mask[..., 1:], batch.completion_ids[..., :-1].flatten(1)
    num_own, prompt_length = own_ids.shape[1], prompt_mask.shape[1]
    own_positions = (next_position[:, None] + torch.arange(own_mask.shape[2], device=mask.device)).repeat(
        1, mask.shape[1]
    )

    # Beside each other with their padding, of which `real` then takes the tokens in the order of the row.
    real = torch.cat([prompt_mask, own_mask.flatten(1)], dim=1)
    input_ids = torch.cat([prompts["input_ids"], own_ids], dim=1)
    positions = torch.cat([position_ids, own_positions.expand(*position_ids.shape[:-1], num_own)], dim=-1)
    place = (real.flatten().cumsum(0) - 1).view(real.shape)
    last_of_prompt = place[:, None, prompt_length - 1 : prompt_length].expand(-1, mask.shape[1], 1)
    before = torch.cat([last_of_prompt, place[:, prompt_length:].view(own_mask.shape)], dim=-1)
    return PackedRow(
        input_ids=input_ids[real][None],
        mm_token_type_ids=pad(prompts["mm_token_type_ids"], (0, num_own))[real][None],
        position_ids=positions[..., real][..., None, :],
        groups=tuple(
            Group(prompt, tuple(lengths))
            for prompt, lengths in zip(prompt_mask.sum(-1).tolist(), own_mask.sum(-1).tolist(), strict=True)
        ),
        sources=before[mask],
    )
