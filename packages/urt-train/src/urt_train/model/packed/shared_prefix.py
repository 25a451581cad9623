"""Attention over a packed row: a prompt attends over itself, each completion over its prompt and itself, causally.

So every token has the keys and positions it has in a row of its own, and log-probs and gradients are those of the
padded layout up to the order of floating-point sums. Three forms:

- two SDPA calls for each group: its prompt, then its completions with the keys of the prompt put in front (the idea of
  PrefixGrouper, arXiv 2506.05433, here for images, M-RoPE and several groups of any length in one row);
- one FlexAttention call with a block mask over the whole row (PyTorch's FlexAttention, arXiv 2412.05496), for CUDA;
- two variable-length calls for all groups together (`merged_attention`), where flash-attn is installed.

What layers without attention do with a packed row is told in `recurrent`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3_vl.modeling_qwen3_vl import eager_attention_forward

from urt_core.errors import ConfigError
from urt_train.model.attention import NO_BACKWARD_ON_CPU
from urt_train.model.packed.merged_attention import FlashKernel, Kernel, merged_attention, sequences_of
from urt_train.model.packed.packing import Group, GroupLayout, RowLayout, row_layout
from urt_train.model.packed.recurrent import RECURRENT_LAYERS, continue_from_prompts

ATTENTION_NAME = "urt_shared_prefix"
PROMPT = 0
"""Number of the prompt among the parts of its group; its completions follow."""
SHORTEST_BUCKET = 1024
VARIABLE_LENGTH: Kernel = FlashKernel()


def bucket(num_tokens: int) -> int:
    """The length that a FlexAttention call for so many tokens has: a power of two, so that rows of any length up to
    131,072 are 8 shapes to compile, which is how many torch compiles of one function. What is behind the row attends
    to itself alone, in blocks of its own, so it costs next to nothing.

    >>> [bucket(num_tokens) for num_tokens in (1, 1024, 1025, 5000)]
    [1024, 1024, 2048, 8192]
    """
    return max(SHORTEST_BUCKET, 1 << (num_tokens - 1).bit_length())


def layout_for(attention: str, groups: Sequence[Group], *, device: torch.device) -> RowLayout:
    """What the layers are told of a row, for a value of `model.attention`."""
    if attention == "flex":
        return block_mask_layout(groups, device=device)
    layout = row_layout(groups, device=device)
    if attention == "flash_attention_2":
        return layout._replace(sequences=sequences_of(groups, device=device))
    return layout


def block_mask_layout(groups: Sequence[Group], *, device: torch.device) -> RowLayout:
    """The layout with FlexAttention: a token sees what precedes it in its group, of its prompt and its own
    completion."""
    if device.type == "cpu" and torch.is_grad_enabled():
        raise ConfigError(NO_BACKWARD_ON_CPU)
    lengths = [[group.prompt, *group.completions] for group in groups]
    number = torch.arange(len(groups)).repeat_interleave(torch.tensor([sum(row) for row in lengths])).to(device)
    part = torch.cat([torch.arange(len(row)).repeat_interleave(torch.tensor(row)) for row in lengths]).to(device)
    behind = bucket(len(part)) - len(part)
    # Behind the row, every token is a group of its own.
    number = torch.cat([number, torch.arange(behind, device=device) + len(groups)])
    part = torch.nn.functional.pad(part, (0, behind))

    # Compiled, it never holds the mask of all pairs of tokens.
    block_mask = create_block_mask(
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
    return row_layout(groups, device=device)._replace(block_mask=block_mask)


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
    if layout.block_mask is not None:
        kernel, num_tokens = _flex_attention(query.device.type), query.shape[2]
        behind = (0, 0, 0, bucket(num_tokens) - num_tokens)
        states = (torch.nn.functional.pad(states, behind) for states in (query, key, value))
        seen = kernel(*states, block_mask=layout.block_mask, scale=scaling, enable_gqa=True)
        return seen[:, :, :num_tokens].transpose(1, 2), None
    if layout.sequences is not None:
        own, keys, values = (_narrowed(states[0].transpose(0, 1)) for states in (query, key, value))
        seen = merged_attention(own, keys, values, layout.sequences, scale=scaling, kernel=VARIABLE_LENGTH)
        return seen.to(query.dtype)[None], None
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    parts = []
    for group, prompt, own in layout.parts(*(states[0].transpose(0, 1) for states in (query, key, value))):
        parts.append(_over_itself(*prompt, scale=scaling, dropout_p=dropout))
        if group.num_own:
            parts.append(_behind_prompt(*prompt[1:], *own, group=group, scale=scaling, dropout_p=dropout))
    return torch.cat(parts)[None], None


def _narrowed(states: Tensor) -> Tensor:
    """In the type that autocast computes in, where rotations have left it."""
    kind = states.device.type
    wide = states.dtype is torch.float32 and torch.is_autocast_enabled(kind)
    return (states.to(torch.get_autocast_dtype(kind)) if wide else states).contiguous()


def _over_itself(query: Tensor, key: Tensor, value: Tensor, **options: Any) -> Tensor:
    """[T, heads, width] of a prompt -> the same."""
    query, key, value = (states.transpose(0, 1)[None] for states in (query, key, value))
    return scaled_dot_product_attention(query, key, value, is_causal=True, **options)[0].transpose(0, 1)


def _behind_prompt(
    prompt_key: Tensor, prompt_value: Tensor, query: Tensor, key: Tensor, value: Tensor, *, group: GroupLayout, **options: Any
) -> Tensor:  # fmt: skip
    """[R, heads, width] of a group's completions -> the same: side by side [G, C], each with the prompt's keys in
    front."""

    def with_prompt(prompt: Tensor, own: Tensor) -> Tensor:
        shared = prompt.expand(len(group.cells), -1, -1, -1)
        return torch.cat([shared, group.side_by_side(own)], dim=1).transpose(1, 2)

    seen = scaled_dot_product_attention(
        group.side_by_side(query).transpose(1, 2),
        with_prompt(prompt_key, key),
        with_prompt(prompt_value, value),
        attn_mask=group.mask,
        **options,
    )
    return group.end_to_end(seen.transpose(1, 2))


def refuse_unsupported(config: Any, *, attention: str) -> None:
    """What a packed row can't do for the text model of this config, said before any work."""
    known = {"full_attention", "linear_attention"} if config.model_type in RECURRENT_LAYERS else {"full_attention"}
    if others := sorted(set(getattr(config, "layer_types", None) or ()) - known):
        raise ConfigError(
            f"grpo.batching is shared_prefix, which in {config.model_type} knows layers of the kind {', '.join(sorted(known))}, and"
            f" some are of the kind {', '.join(others)}: they would mix the completions of a row; allowed: grpo.batching=padded"
        )
    if attention in ("flex", "flash_attention_2") and getattr(config, "attention_dropout", 0.0):
        raise ConfigError(
            f"model.attention is {attention}, which in packed rows knows no dropout, and attention_dropout of {config.model_type} is"
            f" {config.attention_dropout}; allowed: model.attention=sdpa"
        )


def share_prefixes(model: Any) -> None:
    """Let the text decoder of `model` mix tokens by the layout it is given, and as before where it is given none.

    It stays so: gradient checkpointing computes a layer again in the backward pass, long after the forward pass has
    returned.
    """
    decoder = model.get_decoder()
    continue_from_prompts(decoder)
    for config in {id(part.config): part.config for part in decoder.modules() if hasattr(part, "config")}.values():
        if not config._attn_implementation.startswith(ATTENTION_NAME):
            config._attn_implementation = _registered(config._attn_implementation)


def _registered(base: str) -> str:
    """The name of this attention over `base`, which goes on serving the calls without a layout."""
    name = f"{ATTENTION_NAME}_{base}"
    ordinary = ALL_ATTENTION_FUNCTIONS.get_interface(base, eager_attention_forward)

    def attention(module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **kwargs: Any) -> Any:
        if kwargs.get("layout") is not None:
            return shared_prefix_attention(module, query, key, value, mask, **kwargs)
        module.config._attn_implementation = base  # flash attention looks its kernel up by this name
        try:
            return ordinary(module, query, key, value, mask, **kwargs)
        finally:
            module.config._attn_implementation = name

    AttentionInterface.register(name, attention)
    AttentionMaskInterface.register(name, ALL_MASK_ATTENTION_FUNCTIONS[base])
    return name


@cache
def _flex_attention(device: str) -> Callable[..., Any]:
    """Fused on CUDA; on a CPU the plain form, which writes out all scores and has no backward pass."""
    return torch.compile(flex_attention) if device == "cuda" else flex_attention
