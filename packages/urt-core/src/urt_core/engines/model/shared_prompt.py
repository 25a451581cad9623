"""Key-value cache and attention for sampling G completions of one prompt: the prompt's keys and values exist once, not
G times.

At 128 rows of 300 prompt tokens a per-row cache is what a CPU spends its time on reading (and, with concatenation,
copying). Here a row's one new query meets [keys of its prompt | its own keys]; the prompt part is one matrix product
for the whole group. The result is the ordinary softmax over both parts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, DynamicCache
from transformers.cache_utils import DynamicLayer, LinearAttentionLayer

from urt_core.errors import EngineError

ATTENTION_NAME = "urt_shared_prompt"
GROWTH = 64


class RowMap:
    """Which prompt each living row belongs to, and its slot 0..G-1 there. One object serves all layers of a cache."""

    def __init__(self, num_prompts: int, group_size: int, device: torch.device) -> None:
        self.num_prompts, self.group_size = num_prompts, group_size
        self.prompt = torch.arange(num_prompts, device=device).repeat_interleave(group_size)
        self.slot = torch.arange(group_size, device=device).repeat(num_prompts)

    def keep(self, rows: Tensor) -> Tensor:
        """Forget all rows but `rows`; returns the prompts that are still needed."""
        prompts, self.prompt = self.prompt[rows].unique(return_inverse=True)
        self.slot = self.slot[rows]
        self.num_prompts = len(prompts)
        return prompts

    def to_groups(self, rows: Tensor) -> Tensor:
        """[rows, heads, queries, x] -> [prompts, heads, group * queries, x]; slots of finished rows are zero."""
        num_rows, heads, queries, width = rows.shape
        if num_rows == self.num_prompts * self.group_size:
            grouped = rows.view(self.num_prompts, self.group_size, heads, queries, width)
        else:
            grouped = rows.new_zeros(self.num_prompts, self.group_size, heads, queries, width)
            grouped[self.prompt, self.slot] = rows
        return grouped.transpose(1, 2).reshape(self.num_prompts, heads, self.group_size * queries, width)

    def to_rows(self, groups: Tensor, queries: int) -> Tensor:
        """The inverse of `to_groups`."""
        heads, width = groups.shape[1], groups.shape[3]
        grouped = groups.view(self.num_prompts, heads, self.group_size, queries, width).transpose(1, 2)
        if len(self.prompt) == self.num_prompts * self.group_size:
            return grouped.reshape(-1, heads, queries, width)
        return grouped[self.prompt, self.slot]


class SharedPromptLayer(DynamicLayer):
    """One attention layer's cache after the prefill: `prompt_*` [P, H, T, D] shared, `own_*` [rows, H, capacity, D] in
    growing blocks."""

    def __init__(self, prefilled: DynamicLayer, rows: RowMap, prompt_mask: Tensor) -> None:
        super().__init__()
        assert prefilled.keys is not None
        assert prefilled.values is not None
        self.is_initialized = True
        self.rows = rows
        self.prompt_keys, self.prompt_values = (
            prefilled.keys.transpose(-1, -2).contiguous(),
            prefilled.values.contiguous(),
        )
        self.prompt_bias = torch.zeros_like(prompt_mask, dtype=torch.float32).masked_fill(prompt_mask == 0, -torch.inf)[
            :, None, None, :
        ]
        num_rows, heads, width = len(rows.prompt), prefilled.keys.shape[1], prefilled.keys.shape[3]
        self.own_keys = prefilled.keys.new_empty(num_rows, heads, GROWTH, width)
        self.own_values = prefilled.values.new_empty(num_rows, heads, GROWTH, prefilled.values.shape[3])
        self.length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Append one token per row. Returns the layer itself, which `shared_prompt_attention` reads in place of keys
        and values."""
        if self.length == self.own_keys.shape[2]:
            self.own_keys = torch.cat([self.own_keys, torch.empty_like(self.own_keys[:, :, :GROWTH])], dim=2)
            self.own_values = torch.cat([self.own_values, torch.empty_like(self.own_values[:, :, :GROWTH])], dim=2)
        self.own_keys[:, :, self.length] = key_states[:, :, 0]
        self.own_values[:, :, self.length] = value_states[:, :, 0]
        self.length += 1
        return self, self

    def get_seq_length(self) -> int:
        return self.prompt_keys.shape[3] + self.length

    def keep(self, rows: Tensor, prompts: Tensor) -> None:
        self.own_keys, self.own_values = self.own_keys[rows], self.own_values[rows]
        if len(prompts) < len(self.prompt_keys):
            self.prompt_keys, self.prompt_values = self.prompt_keys[prompts], self.prompt_values[prompts]
            self.prompt_bias = self.prompt_bias[prompts]


class SharedPromptCache:
    """Takes over a prefilled `DynamicCache` of P rows for decoding P * G rows; `cache` is what the model gets."""

    def __init__(self, prefilled: DynamicCache, *, prompt_mask: Tensor, group_size: int) -> None:
        self.cache = prefilled
        self.rows = RowMap(len(prompt_mask), group_size, prompt_mask.device)
        layers: list[Any] = prefilled.layers
        for index, layer in enumerate(layers):
            if type(layer) is DynamicLayer:
                layers[index] = SharedPromptLayer(layer, self.rows, prompt_mask)
            elif type(layer) is LinearAttentionLayer:
                # Recurrent states (Qwen3.5) do not grow: each row simply gets its own.
                layer.reorder_cache(cast("torch.LongTensor", self.rows.prompt))
            else:
                raise EngineError(
                    f"cache layer {type(layer).__name__} is not supported; allowed are full and linear attention (Qwen2.5-VL, Qwen3-VL, Qwen3.5)"
                )

    def keep(self, rows: Tensor) -> None:
        """Drop finished rows, and prompts all of whose rows are finished."""
        prompts = self.rows.keep(rows)
        layer: Any
        for layer in self.cache.layers:
            if isinstance(layer, SharedPromptLayer):
                layer.keep(rows, prompts)
            else:
                layer.reorder_cache(rows)


def shared_prompt_attention(
    module: nn.Module, query: Tensor, key: Any, value: Any, attention_mask: Tensor | None, scaling: float, **kwargs: Any
) -> tuple[Tensor, None]:
    """One query per row over [prompt | own]; softmax in fp32. `key` is the `SharedPromptLayer` that `update`
    returned."""
    layer: SharedPromptLayer = key
    num_rows, num_heads, _, width = query.shape
    key_heads = layer.own_keys.shape[1]
    queries = num_heads // key_heads
    query = (query * scaling).reshape(num_rows, key_heads, queries, width)

    prompt_scores = torch.matmul(layer.rows.to_groups(query), layer.prompt_keys).float() + layer.prompt_bias
    own_scores = torch.matmul(query, layer.own_keys[:, :, : layer.length].transpose(-1, -2)).float()
    prompt_length = prompt_scores.shape[-1]
    weights = torch.cat([layer.rows.to_rows(prompt_scores, queries), own_scores], dim=-1).softmax(-1).to(query.dtype)
    prompt_weights, own_weights = weights[..., :prompt_length], weights[..., prompt_length:]

    from_prompt = layer.rows.to_rows(torch.matmul(layer.rows.to_groups(prompt_weights), layer.prompt_values), queries)
    from_own = torch.matmul(own_weights, layer.own_values[:, :, : layer.length])
    return (from_prompt + from_own).reshape(num_rows, 1, num_heads, -1), None


AttentionInterface.register(ATTENTION_NAME, shared_prompt_attention)


@contextmanager
def decoding_attention(module: Any) -> Iterator[None]:
    """The text decoder of `module` uses `shared_prompt_attention` inside the block, and what it used before
    afterwards."""
    configs = {id(part.config): part.config for part in module.get_decoder().modules() if hasattr(part, "config")}
    before = {name: config._attn_implementation for name, config in configs.items()}
    try:
        for config in configs.values():
            config._attn_implementation = ATTENTION_NAME
        yield
    finally:
        for name, config in configs.items():
            config._attn_implementation = before[name]
