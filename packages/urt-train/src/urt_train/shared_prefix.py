"""Attention over a packed row: a prompt attends over itself, each completion over its prompt and itself, causally.

So every token has the keys and positions it has in a row of its own, and log-probs and gradients are those of the padded layout
up to the order of floating-point sums. Two forms:

- two SDPA calls for each group: its prompt, then its completions with the keys of the prompt put in front (the idea of
  PrefixGrouper, arXiv 2506.05433, here for images, M-RoPE and several groups of any length in one row);
- one FlexAttention call with a block mask over the whole row (PyTorch's FlexAttention, arXiv 2412.05496), for CUDA.

It takes a transformer whose layers mix tokens by attention alone (Qwen2.5-VL, Qwen3-VL), not recurrent layers (Qwen3.5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3_vl.modeling_qwen3_vl import eager_attention_forward

from urt_core.errors import ConfigError
from urt_train.packing import Group

ATTENTION_NAME = "urt_shared_prefix"
NO_BACKWARD_ON_CPU = (
    "model.attention is flex and there is no CUDA device: FlexAttention has no backward pass on a CPU;"
    " allowed here: model.attention=sdpa"
)
PROMPT = 0
"""Number of the prompt among the parts of its group; its completions follow."""


class GroupAttention(NamedTuple):
    """One group of the row: GroupAttention(num_prompt=300, num_own=352, cells=[G, C], own=[352], mask=[C, 300 + C])"""

    num_prompt: int
    num_own: int
    """Tokens of all completions together."""
    cells: Int[Tensor, "G C"]
    """Which own token stands in each cell of the completions side by side; in the padding behind a completion, any."""
    own: Int[Tensor, " R"]
    """The cell of each own token."""
    mask: Bool[Tensor, "C TC"]
    """What a completion's tokens see of [prompt | own]; causal, so what is padding is seen by padding alone."""


RowLayout = tuple[GroupAttention, ...] | BlockMask


def group_layout(groups: Sequence[Group], *, device: torch.device) -> RowLayout:
    """The layout of the two-call form."""
    return tuple(_group_attention(group, device) for group in groups)


def block_mask_layout(groups: Sequence[Group], *, device: torch.device) -> RowLayout:
    """The layout of the FlexAttention form: a token sees what precedes it in its group, of its prompt and its own completion."""
    if device.type == "cpu" and torch.is_grad_enabled():
        raise ConfigError(NO_BACKWARD_ON_CPU)
    lengths = [[group.prompt, *group.completions] for group in groups]
    number = torch.arange(len(groups)).repeat_interleave(torch.tensor([sum(row) for row in lengths])).to(device)
    part = torch.cat([torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in lengths]).to(device)

    # Compiled, it never holds the mask of all pairs of tokens.
    return create_block_mask(
        lambda _batch, _head, query, key: (
            (query >= key) & (number[query] == number[key]) & ((part[key] == PROMPT) | (part[key] == part[query]))
        ),
        B=None,
        H=None,
        Q_LEN=len(part),
        KV_LEN=len(part),
        device=str(device),
        _compile=device.type == "cuda",
    )


def shared_prefix_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    layout: RowLayout,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [1, heads, N, width], key and value with the heads of the keys -> [1, N, heads, width]."""
    if isinstance(layout, BlockMask):
        kernel = _flex_attention(query.device.type)
        return kernel(query, key, value, block_mask=layout, scale=scaling, enable_gqa=True).transpose(1, 2), None
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    sizes = [size for group in layout for size in (group.num_prompt, group.num_own)]
    parts = [iter(states[0].transpose(0, 1).split(sizes)) for states in (query, key, value)]
    seen = []
    for group in layout:
        prompt, own = zip(*((next(part), next(part)) for part in parts), strict=True)
        seen.append(_over_itself(*prompt, scale=scaling, dropout_p=dropout))
        if group.num_own:
            seen.append(_behind_prompt(*prompt[1:], *own, group=group, scale=scaling, dropout_p=dropout))
    return torch.cat(seen)[None], None


def _over_itself(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """[T, heads, width] of a prompt -> the same."""
    query, key, value = (states.transpose(0, 1)[None] for states in (query, key, value))
    return scaled_dot_product_attention(query, key, value, is_causal=True, **options)[0].transpose(0, 1)


def _behind_prompt(
    prompt_key: Tensor, prompt_value: Tensor, query: Tensor, key: Tensor, value: Tensor, *, group: GroupAttention, **options: Any
) -> Tensor:  # fmt: skip
    """[R, heads, width] of a group's completions -> the same: side by side [G, C], each with the prompt's keys in front."""
    num_completions, longest = group.cells.shape

    def side_by_side(own: Tensor) -> Tensor:
        return own.index_select(0, group.cells.flatten()).unflatten(0, (num_completions, longest))

    def with_prompt(prompt: Tensor, own: Tensor) -> Tensor:
        return torch.cat([prompt.expand(num_completions, -1, -1, -1), side_by_side(own)], dim=1).transpose(1, 2)

    seen = scaled_dot_product_attention(
        side_by_side(query).transpose(1, 2),
        with_prompt(prompt_key, key),
        with_prompt(prompt_value, value),
        attn_mask=group.mask,
        **options,
    )
    return seen.transpose(1, 2).flatten(0, 1).index_select(0, group.own)


def refuse_unsupported(config: Any, *, attention: str) -> None:
    """What a packed row can't do for the text model of this config, said before any work."""
    if others := sorted(set(getattr(config, "layer_types", None) or ()) - {"full_attention"}):
        raise ConfigError(
            f"grpo.batching is shared_prefix, and layers of {config.model_type} are of the kind {', '.join(others)}: what they carry"
            " along a row would pass from one completion to the next; allowed: grpo.batching=padded"
        )
    if attention == "flex" and getattr(config, "attention_dropout", 0.0):
        raise ConfigError(
            f"model.attention is flex, which knows no dropout, and attention_dropout of {config.model_type} is"
            f" {config.attention_dropout}; allowed: model.attention=sdpa"
        )


def share_prefixes(model: Any) -> None:
    """Let the text decoder of `model` attend by the layout it is given, and as before where it is given none.

    It stays so: gradient checkpointing computes a layer again in the backward pass, long after the forward pass has returned.
    """
    for config in {
        id(part.config): part.config for part in model.get_decoder().modules() if hasattr(part, "config")
    }.values():
        if not config._attn_implementation.startswith(ATTENTION_NAME):
            config._attn_implementation = _registered(config._attn_implementation)


def _registered(base: str) -> str:
    """The name of this attention over `base`, which goes on serving the calls without a layout."""
    name = f"{ATTENTION_NAME}_{base}"
    ordinary = ALL_ATTENTION_FUNCTIONS.get_interface(base, eager_attention_forward)

    def attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Any:
        if kwargs.get("layout") is None:
            return ordinary(module, query, key, value, mask, **kwargs)
        return shared_prefix_attention(module, query, key, value, mask, **kwargs)

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[base])
    return name


def _group_attention(group: Group, device: torch.device) -> GroupAttention:
    lengths = torch.tensor(group.completions)
    longest = int(lengths.max())
    within = torch.arange(longest) < lengths[:, None]
    first = (lengths.cumsum(0) - lengths)[:, None]
    cells = torch.where(within, first + torch.arange(longest), 0)
    return GroupAttention(
        num_prompt=group.prompt,
        num_own=int(lengths.sum()),
        cells=cells.to(device),
        own=within.flatten().nonzero()[:, 0].to(device),
        mask=torch.ones(longest, group.prompt + longest, dtype=torch.bool, device=device).tril(group.prompt),
    )


@cache
def _flex_attention(device: str) -> Callable[..., Any]:
    """Fused on CUDA; on a CPU the plain form, which writes out all scores and has no backward pass."""
    return torch.compile(flex_attention) if device == "cuda" else flex_attention
