"""The kernel of merged attention by its definition: what its calls are compared with, and what stands in for flash-attn on
a CPU."""

from itertools import pairwise

import torch
from torch import Tensor

from urt_train.model.packed.merged_attention import Bounds


class PlainKernel:
    """In plain PyTorch, sequence by sequence, in the type of its input."""

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, queries: Bounds, keys: Bounds, *, scale: float, is_causal: bool
    ) -> tuple[Tensor, Tensor]:
        out, lse = torch.zeros_like(query), query.new_zeros(query.shape[1], len(query))
        for q, k in _pairs(queries, keys):
            scores = _scores(query[q], key[k], scale=scale, is_causal=is_causal)
            lse[:, q] = scores.logsumexp(-1)
            weights = (scores - lse[:, q, None]).exp()
            out[q] = torch.einsum("hqk,khd->qhd", weights, _repeated(value[k], query))
        return out, lse

    def backward(
        self, gradient: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor,
        queries: Bounds, keys: Bounds, *, scale: float, is_causal: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        found = tuple(map(torch.zeros_like, (query, key, value)))
        for q, k in _pairs(queries, keys):
            scores = _scores(query[q], key[k], scale=scale, is_causal=is_causal)
            weights = (scores - lse[:, q, None]).exp()
            of_weights = torch.einsum("qhd,khd->hqk", gradient[q], _repeated(value[k], query))
            of_scores = weights * (of_weights - (gradient[q] * out[q]).sum(-1).T[..., None]) * scale
            found[0][q] = torch.einsum("hqk,khd->qhd", of_scores, _repeated(key[k], query))
            found[1][k] = _summed(torch.einsum("hqk,qhd->khd", of_scores, query[q]), key)
            found[2][k] = _summed(torch.einsum("hqk,qhd->khd", weights, gradient[q]), value)
        return found[0], found[1], found[2]


def _pairs(queries: Bounds, keys: Bounds) -> list[tuple[slice, slice]]:
    ends = zip(queries.starts.tolist(), keys.starts.tolist(), strict=True)
    return [(slice(a, b), slice(c, d)) for (a, c), (b, d) in pairwise(ends)]


def _scores(query: Tensor, key: Tensor, *, scale: float, is_causal: bool) -> Tensor:
    scores = torch.einsum("qhd,khd->hqk", query, _repeated(key, query)) * scale
    if not is_causal:
        return scores
    is_hidden = torch.ones(scores.shape[1:], dtype=torch.bool, device=scores.device).triu(1)
    return scores.masked_fill(is_hidden, -torch.inf)


def _repeated(states: Tensor, query: Tensor) -> Tensor:
    """[K, heads of the keys, width] -> [K, heads, width]"""
    return states.repeat_interleave(query.shape[1] // states.shape[1], dim=1)


def _summed(gradient: Tensor, states: Tensor) -> Tensor:
    """The way back: heads that share a key add up their gradients."""
    return gradient.unflatten(1, (states.shape[1], -1)).sum(2)
