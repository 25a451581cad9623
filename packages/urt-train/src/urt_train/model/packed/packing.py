"""One row for a whole micro-batch: each prompt once, its completions behind it, and no padding between them.

    [prompt 1 | c 1.1 | ... | c 1.G | prompt 2 | c 2.1 | ... ]

Embedding, norms, projections and MLP then work on real tokens alone. A token keeps the position it has in a row of its
own (a completion's go on where its prompt ends), and images stand in the order of their prompts. What mixes tokens
keeps the groups apart: attention (`shared_prefix`) and recurrent layers (`recurrent`), by the layout of the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask
from torch.nn.functional import pad

from urt_train.model.batching import TokenBatch


class Group(NamedTuple):
    """Tokens of a prompt and of the completions behind it: Group(prompt=300, completions=(96, 128, 0))"""

    prompt: int
    completions: tuple[int, ...]


class PackedRow(NamedTuple):
    """PackedRow(input_ids=[1, N], mm_token_type_ids=[1, N], position_ids=[3, 1, N], groups=(Group(...), ...),
    sources=[S])"""

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


class GroupLayout(NamedTuple):
    """Where a group stands in the row: GroupLayout(num_prompt=300, num_own=352, cells=[G, C], own=[352], mask=[C, 300 +
    C])"""

    num_prompt: int
    num_own: int
    """Tokens of all completions together."""
    cells: Int[Tensor, "G C"]
    """Which own token stands in each cell of the completions side by side; in the padding behind a completion, any."""
    own: Int[Tensor, " R"]
    """The cell of each own token."""
    mask: Bool[Tensor, "C TC"]
    """What a completion's tokens see of [prompt | own]; causal, so what is padding is seen by padding alone."""

    def side_by_side(self, own: Tensor) -> Tensor:
        """[R, ...] of the completions' tokens end to end -> [G, C, ...]"""
        return own.index_select(0, self.cells.flatten()).unflatten(0, self.cells.shape)

    def end_to_end(self, cells: Tensor) -> Tensor:
        """The way back, without what is padding."""
        return cells.flatten(0, 1).index_select(0, self.own)


class RowLayout(NamedTuple):
    """What the layers of a model are told of a packed row: RowLayout(groups=(GroupLayout(...), ...))"""

    groups: tuple[GroupLayout, ...]
    block_mask: BlockMask | None = None
    """What each token of the row attends to, for FlexAttention; the row may be shorter than the mask."""
    sequences: Any = None
    """`merged_attention.Sequences`, for variable-length calls; without both, attention goes by the groups."""

    def parts(self, *tokens: Tensor) -> Iterator[tuple[GroupLayout, tuple[Tensor, ...], tuple[Tensor, ...]]]:
        """Tensors [N, ...] of the row -> for each group those of its prompt and those of its completions, end to
        end."""
        sizes = [size for group in self.groups for size in (group.num_prompt, group.num_own)]
        split = zip(*(tensor.split(sizes) for tensor in tokens), strict=True)
        return zip(self.groups, split, split, strict=True)


def row_layout(groups: Sequence[Group], *, device: torch.device) -> RowLayout:
    return RowLayout(groups=tuple(_group_layout(group, device) for group in groups))


def _group_layout(group: Group, device: torch.device) -> GroupLayout:
    lengths = torch.tensor(group.completions)
    longest = int(lengths.max())
    within = torch.arange(longest) < lengths[:, None]
    first = (lengths.cumsum(0) - lengths)[:, None]
    cells = torch.where(within, first + torch.arange(longest), 0)
    return GroupLayout(
        num_prompt=group.prompt,
        num_own=int(lengths.sum()),
        cells=cells.to(device),
        own=within.flatten().nonzero()[:, 0].to(device),
        mask=torch.ones(longest, group.prompt + longest, dtype=torch.bool, device=device).tril(group.prompt),
    )
