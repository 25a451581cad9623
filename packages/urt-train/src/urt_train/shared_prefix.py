"""One row for a whole group: [prompt | completion 1 | ... | completion G], the prompt and its images computed once.

The prompt attends over itself; each completion attends over the prompt and itself, and its positions go on where the prompt
ends. So every token has the keys and positions it has in a row of its own, and log-probs and gradients are those of the padded
layout up to the order of floating-point sums. It is done with two attention calls: one for all prompts, one for all completions
with the keys of their prompt put in front (the idea of PrefixGrouper, arXiv 2506.05433, here for images and M-RoPE as well).
It takes a transformer whose layers mix tokens by attention alone (Qwen2.5-VL, Qwen3-VL), not recurrent layers (Qwen3.5).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3_vl.modeling_qwen3_vl import eager_attention_forward

ATTENTION_NAME = "urt_shared_prefix"


class PrefixLayout(NamedTuple):
    """How the tokens of a row divide: PrefixLayout(prompt_length=300, group_size=8, prompt_mask=..., completion_mask=...)"""

    prompt_length: int
    group_size: int
    prompt_mask: Float[Tensor, "P 1 T T"] | None
    """0 where a prompt token may look, -inf where not; None where no prompt is padded: plain causal attention, at half the work."""
    completion_mask: Float[Tensor, "B 1 C TC"]
    """The same for the completions over [prompt | own]; B = P * G."""


def prefix_layout(
    prompt_mask: Bool[Tensor, "P T"], *, group_size: int, length: int, dtype: torch.dtype
) -> PrefixLayout:
    """Masks for left-padded prompts and completions of `length` tokens; padding behind a completion needs none, being causal."""
    num_prompts, prompt_length = prompt_mask.shape
    device = prompt_mask.device
    own = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    over_prompt = prompt_mask[:, None, :].expand(num_prompts, length, prompt_length)
    both = torch.cat([over_prompt, own.expand(num_prompts, length, length)], dim=-1)
    return PrefixLayout(
        prompt_length=prompt_length,
        group_size=group_size,
        prompt_mask=None if bool(prompt_mask.all()) else _additive(_seen_by_prompt(prompt_mask), dtype)[:, None],
        completion_mask=_additive(both, dtype)[:, None].repeat_interleave(group_size, dim=0),
    )


def shared_prefix_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    layout: PrefixLayout,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [P, heads, T + G * C, width], key and value with the heads of the keys -> [P, T + G * C, heads, width]."""
    split = layout.prompt_length
    repeats = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    prompt = scaled_dot_product_attention(
        query[:, :, :split],
        key[:, :, :split],
        value[:, :, :split],
        attn_mask=layout.prompt_mask,
        is_causal=layout.prompt_mask is None,
        dropout_p=dropout,
        scale=scaling,
    )
    completions = scaled_dot_product_attention(
        _by_completion(query[:, :, split:], layout.group_size),
        _behind_prompt(key, layout),
        _behind_prompt(value, layout),
        attn_mask=layout.completion_mask,
        dropout_p=dropout,
        scale=scaling,
    )
    num_prompts, heads, _, width = query.shape
    completions = completions.view(num_prompts, layout.group_size, heads, -1, width).transpose(1, 2).flatten(2, 3)
    return torch.cat([prompt, completions], dim=2).transpose(1, 2), None


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


def _by_completion(states: Tensor, group_size: int) -> Tensor:
    """[P, heads, G * C, width] -> [P * G, heads, C, width]."""
    num_prompts, heads, tokens, width = states.shape
    return (
        states.view(num_prompts, heads, group_size, tokens // group_size, width)
        .transpose(1, 2)
        .reshape(num_prompts * group_size, heads, -1, width)
    )


def _behind_prompt(states: Tensor, layout: PrefixLayout) -> Tensor:
    """Each completion's keys or values with those of its prompt in front: [P * G, heads, T + C, width]."""
    num_prompts, heads, _, width = states.shape
    prompt, completions = states.split([layout.prompt_length, states.shape[2] - layout.prompt_length], dim=2)
    shared = prompt[:, None].expand(-1, layout.group_size, -1, -1, -1)
    own = completions.view(num_prompts, heads, layout.group_size, -1, width).transpose(1, 2)
    return torch.cat([shared, own], dim=3).flatten(0, 1)


def _seen_by_prompt(prompt_mask: Tensor) -> Tensor:
    """[P, T, T]. A padding token sees itself: a row of -inf would be NaN, and NaN times a weight of 0 is still NaN."""
    causal = torch.ones(prompt_mask.shape[1], prompt_mask.shape[1], dtype=torch.bool, device=prompt_mask.device).tril()
    return (causal & prompt_mask[:, None, :]) | torch.eye(len(causal), dtype=torch.bool, device=causal.device)


def _additive(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, -torch.inf)
