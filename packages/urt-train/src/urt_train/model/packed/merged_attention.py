"""Attention over a packed row in variable-length calls: one for all its sequences, one for all completions over their
prompts.

A packed row is sequences end to end (each prompt, each completion), so one call with their bounds lets each attend over
itself. A second call lets the completions of each group attend over its prompt. Both give the logarithm l of their sum
of exponentials, by which the two outputs merge into the softmax over prompt and own tokens together:

    l = log(exp(l_own) + exp(l_prompt)),   out = exp(l_own - l) out_own + exp(l_prompt - l) out_prompt

Backward, a kernel needs of the softmax only `out` and l: given those of the whole, each call's backward pass gives its
part of the gradient (as blocks do in ring attention, arXiv 2310.01889). Nothing is padded, and no mask is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from urt_train.model.packed.packing import Group


class Bounds(NamedTuple):
    """Sequences end to end: Bounds(starts=[0, 300, 396], longest=300)"""

    starts: Int[Tensor, " n_plus_1"]
    """int32; the last is where the last sequence ends."""
    longest: int


class Sequences(NamedTuple):
    """A packed row as variable-length calls see it."""

    row: Bounds
    """Every prompt and completion."""
    own: Int[Tensor, " R"]
    """The places of the completions' tokens in the row, and of the tokens of the prompts in front of them."""
    prompts: Int[Tensor, " T"]
    own_of_groups: Bounds
    """Of `own`, by group; groups without completions are left out here and in the next."""
    prompts_of_groups: Bounds


def sequences_of(groups: Sequence[Group], *, device: torch.device) -> Sequences:
    lengths = [length for group in groups for length in (group.prompt, *group.completions) if length]
    own, prompts, at = [], [], 0
    for group in groups:
        end = at + group.prompt + sum(group.completions)
        if any(group.completions):
            prompts.append(torch.arange(at, at + group.prompt))
            own.append(torch.arange(at + group.prompt, end))
        at = end
    none = [torch.arange(0)]
    return Sequences(
        row=_bounds(lengths, device),
        own=torch.cat(own or none).to(device),
        prompts=torch.cat(prompts or none).to(device),
        own_of_groups=_bounds([len(places) for places in own], device),
        prompts_of_groups=_bounds([len(places) for places in prompts], device),
    )


def _bounds(lengths: Sequence[int], device: torch.device) -> Bounds:
    ends = torch.tensor(lengths, dtype=torch.int64).cumsum(0)
    return Bounds(pad(ends, (1, 0)).to(device, torch.int32), max(lengths, default=0))


@runtime_checkable
class Kernel(Protocol):
    """Softmax attention of sequences of queries over sequences of keys, in pairs.

    query [Q, heads, width], key and value [K, heads of the keys, width]; lse [heads, Q] in float32 or finer is the
    logarithm of the sum of exponentials of each query's scaled scores. `is_causal` is for pairs of one length.
    """

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, queries: Bounds, keys: Bounds, *, scale: float, is_causal: bool
    ) -> tuple[Tensor, Tensor]:
        """(out [Q, heads, width], lse)"""
        ...

    def backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor,
        queries: Bounds, keys: Bounds, *, scale: float, is_causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Gradients of query, key and value by way of these keys, where `out` and `lse` are over these and others."""
        ...


def merged_attention(
    query: Float[Tensor, "N heads width"],
    key: Float[Tensor, "N kv_heads width"],
    value: Float[Tensor, "N kv_heads width"],
    sequences: Sequences,
    *,
    scale: float,
    kernel: Kernel,
) -> Float[Tensor, "N heads width"]:
    """Each token over what precedes it in its sequence and, in a completion, over its prompt."""
    return _Merged.apply(query, key, value, sequences, scale, kernel)


class _Merged(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float, kernel: Kernel) -> Tensor:  # fmt: skip
        row, own, prompts = sequences.row, sequences.own, sequences.prompts
        out, lse = kernel.forward(query, key, value, row, row, scale=scale, is_causal=True)
        if len(own):
            bounds = sequences.own_of_groups, sequences.prompts_of_groups
            far, its_lse = kernel.forward(
                query[own], key[prompts], value[prompts], *bounds, scale=scale, is_causal=False
            )
            near = lse[:, own]
            both = torch.logaddexp(near, its_lse)
            shares = [(part - both).exp().T[..., None] for part in (near, its_lse)]
            out[own] = (shares[0] * out[own] + shares[1] * far).to(out.dtype)
            lse[:, own] = both
        ctx.save_for_backward(query, key, value, out, lse)
        ctx.sequences, ctx.scale, ctx.kernel = sequences, scale, kernel
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        [gradient] = gradients
        query, key, value, out, lse = ctx.saved_tensors
        row, own, prompts = ctx.sequences.row, ctx.sequences.own, ctx.sequences.prompts
        options = {"scale": ctx.scale}
        found = ctx.kernel.backward(gradient, query, key, value, out, lse, row, row, is_causal=True, **options)
        if len(own):
            bounds = ctx.sequences.own_of_groups, ctx.sequences.prompts_of_groups
            parts = (gradient[own], query[own], key[prompts], value[prompts], out[own], lse[:, own].contiguous())
            far = ctx.kernel.backward(*parts, *bounds, is_causal=False, **options)
            for whole, part, places in zip(found, far, (own, prompts, prompts), strict=True):
                whole.index_add_(0, places, part.to(whole.dtype))
        return (*found, None, None, None)


class FlashKernel:
    """flash-attn 2.7 or newer (its functions below autograd): bfloat16 or float16 on CUDA."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, queries: Bounds, keys: Bounds, *, scale: float, is_causal: bool
    ) -> tuple[Tensor, Tensor]:
        out, lse, *_ = _flash_attn()._flash_attn_varlen_forward(
            query, key, value, **_call(queries, keys, scale, is_causal)
        )
        return out, lse

    def backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor,
        queries: Bounds, keys: Bounds, *, scale: float, is_causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        found = tuple(map(torch.empty_like, (query, key, value)))
        _flash_attn()._flash_attn_varlen_backward(
            gradient.contiguous(), query, key, value, out, lse, *found,
            deterministic=torch.are_deterministic_algorithms_enabled(), **_call(queries, keys, scale, is_causal),
        )  # fmt: skip
        return found[0], found[1], found[2]


def _flash_attn() -> Any:
    """Built only beside CUDA, so it is no requirement; who asks for it without is refused before the run."""
    return import_module("flash_attn.flash_attn_interface")


def _call(queries: Bounds, keys: Bounds, scale: float, is_causal: bool) -> dict[str, Any]:
    return {
        "cu_seqlens_q": queries.starts,
        "cu_seqlens_k": keys.starts,
        "max_seqlen_q": queries.longest,
        "max_seqlen_k": keys.longest,
        "dropout_p": 0.0,
        "softmax_scale": scale,
        "causal": is_causal,
        "window_size_left": -1,
        "window_size_right": -1,
        "softcap": 0.0,
        "alibi_slopes": None,
    }
