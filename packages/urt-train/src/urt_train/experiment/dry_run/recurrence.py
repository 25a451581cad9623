"""The gated delta rule of Qwen3.5's recurrent layers, as far as memory goes, in the way that flash-linear-attention
computes it.

Without that library transformers takes its own torch functions, a loop over chunks of 64 tokens: far slower, and with
more in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.models.qwen3_5 import modeling_qwen3_5
from transformers.models.qwen3_5_moe import modeling_qwen3_5_moe

CHUNK = 64
NAME = "torch_chunk_gated_delta_rule"


@contextmanager
def fused_recurrence() -> Iterator[None]:
    """Recurrent layers of fake tensors call `FusedDeltaRule` inside of the block."""
    modules: list[Any] = [modeling_qwen3_5, modeling_qwen3_5_moe]
    before = [getattr(module, NAME) for module in modules]
    try:
        for module in modules:
            setattr(module, NAME, _delta_rule)
        yield
    finally:
        for module, function in zip(modules, before, strict=True):
            setattr(module, NAME, function)


def _delta_rule(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    g: Tensor,
    beta: Tensor,
    initial_state: Tensor | None = None,
    **others: Any,
) -> tuple[Any, Tensor]:
    rows, _, heads, width = value.shape
    state = value.new_empty(rows, heads, key.shape[-1], width, dtype=torch.float32)
    return FusedDeltaRule.apply(query, key, value, g, beta, initial_state), state


class FusedDeltaRule(torch.autograd.Function):
    """Tensors of the sizes in fla 0.6 (fla/ops/gated_delta_rule/chunk.py), and no values.

    Kept for the backward pass: normalised queries and keys with their norms, values, summed gates, beta, and for each
    chunk the inverse of its triangular matrix. Needed while it runs: the state of each chunk and new values.
    """

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, g: Tensor, beta: Tensor, state: Tensor | None
    ) -> Tensor:
        norms = [g.new_empty(states.shape[:-1], dtype=torch.float32) for states in (query, key)]
        normalised = [torch.empty_like(query), torch.empty_like(key)]
        inverse = key.new_empty(*value.shape[:-1], CHUNK)
        ctx.save_for_backward(*normalised, value, torch.empty_like(g), beta, state, inverse, *norms)
        _work(key, value)
        return torch.empty_like(value)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Any:
        inputs = ctx.saved_tensors[:6]
        working = _work(inputs[1], inputs[2])
        gradients = [None if tensor is None else torch.empty_like(tensor) for tensor in inputs]
        del working
        return tuple(gradients)


def _work(key: Tensor, value: Tensor) -> list[Tensor]:
    rows, tokens, heads, width = value.shape
    chunks = -(-tokens // CHUNK)
    return [key.new_empty(rows, chunks, heads, key.shape[-1], width), torch.empty_like(value)]
