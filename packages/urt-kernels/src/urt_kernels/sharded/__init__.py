"""Heads whose weight is no single tensor of this process: spread over a vocabulary-parallel group, sharded by FSDP2, or
a frozen weight with a low-rank adapter."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from urt_kernels.checks import check_dtype, check_positive, check_shape, check_targets
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.linear_logprobs.arguments import check_head, live_rows, placed, rows_of
from urt_kernels.linear_logprobs.op import linear_token_logprobs_op
from urt_kernels.shapes import Bool, Float, Int, Number
from urt_kernels.sharded.gathered import GatheredShards
from urt_kernels.sharded.loss import check_part, check_shards, gathered_loss, vocabulary_parallel_loss
from urt_kernels.sharded.low_rank import LowRankParts
from urt_kernels.sharded.merge import across_ranks, reduced_gradient
from urt_kernels.sharded.parts import by_parts

__all__ = [
    "ShardedLogprobs",
    "gathered_loss",
    "gathered_token_logprobs",
    "low_rank_token_logprobs",
    "vocabulary_parallel_loss",
    "vocabulary_parallel_token_logprobs",
]


class ShardedLogprobs(NamedTuple):
    """One value per row in fp32; zeros outside of the mask.

    >>> vocabulary_parallel_token_logprobs(hidden, weight, targets, vocabulary=151936, temperature=1.0).logprobs
    """

    logprobs: Float[Tensor, "*N"]
    entropy: Float[Tensor, "*N"] | None
    lse: Float[Tensor, "*N"]


def vocabulary_parallel_token_logprobs(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V_r H"],
    targets: Int[Tensor, "*N"],
    *,
    vocabulary: int,
    temperature: Number,
    group: dist.ProcessGroup | None = None,
    entropy: bool = False,
    mask: Bool[Tensor, "*N"] | None = None,
    impl: Impl = "auto",
) -> ShardedLogprobs:
    """`linear_token_logprobs` of a head that the ranks of ``group`` hold part by part, for the same rows on all of
    them.

    Rank r of R has rows r c to (r + 1) c of the ``[V, H]`` weight, c = ceil(V / R) (torch.chunk, DTensor's Shard(0)).
    Three numbers per row cross the group forward, and the hidden states' gradient is summed over it backward; that of
    the weight stays where the part is. The merge is that of the online softmax (arXiv 1805.02867), in the order of the
    ranks: all ranks have the same bits.
    """
    check_head(hidden, weight, targets, None, mask)
    own = check_part(weight, vocabulary, group)
    check_positive("temperature", temperature)
    chosen = resolve(impl, hidden.device, operation="linear_token_logprobs", unsupported=no_fp64(hidden, weight))
    live = live_rows(mask)
    rows, wanted = reduced_gradient(rows_of(hidden, live, trailing=1), group), rows_of(targets, live).long()
    _check_range(wanted, vocabulary)
    inside = (wanted >= own.start) & (wanted < own.stop)
    local = torch.where(inside, wanted - own.start, 0)
    head = (float(temperature), None, 1.0, None, None, None)
    logprobs, entropies, _, lse = linear_token_logprobs_op(rows, weight, None, local, *head, entropy, chosen, False)
    found = across_ranks(logprobs, entropies if entropy else None, lse, inside, group)
    return _placed(found, live, targets)


def gathered_token_logprobs(
    hidden: Float[Tensor, "*N H"],
    weight: Any,
    targets: Int[Tensor, "*N"],
    *,
    temperature: Number,
    entropy: bool = False,
    mask: Bool[Tensor, "*N"] | None = None,
    block: int = 8192,
    impl: Impl = "auto",
) -> ShardedLogprobs:
    """`linear_token_logprobs` of a DTensor weight with Shard(0), as FSDP2 holds it: each rank has rows of its own.

    ``block`` vocabulary entries are whole at a time, forward and backward; the gradient of a block is summed over the
    ranks and scattered to where its shard is (a sum, not FSDP's mean: the loss's divisor counts all ranks). All ranks
    must call it, those without rows too.
    """
    check_shards(hidden, weight, targets, block)
    check_positive("temperature", temperature)
    shard = weight.to_local(grad_placements=weight.placements)
    group = weight.device_mesh.get_group()
    parts = GatheredShards(shard.detach(), vocabulary=weight.shape[0], block=block, group=group)
    return _by_parts(hidden, targets, parts, (shard,), temperature, entropy, mask, impl)


def low_rank_token_logprobs(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    targets: Int[Tensor, "*N"],
    down: Float[Tensor, "R H"],
    up: Float[Tensor, "V R"],
    *,
    scaling: Number,
    temperature: Number,
    entropy: bool = False,
    mask: Bool[Tensor, "*N"] | None = None,
    block: int = 8192,
    impl: Impl = "auto",
) -> ShardedLogprobs:
    """`linear_token_logprobs` of a head with a low-rank adapter, W + scaling up down (LoRA, arXiv 2106.09685, section
    4.1; peft's ``lora_A`` is down, ``lora_B`` up): neither the sum nor its gradient is formed, only ``block`` rows of
    ``[W, up]`` at a time.
    """
    check_head(hidden, weight, targets, None, mask)
    check_shape("down", down, (down.shape[0], weight.shape[1]), meaning="[R, H] with the H of hidden")
    check_shape("up", up, (weight.shape[0], down.shape[0]), meaning="[V, R]")
    for name, adapter in {"down": down, "up": up}.items():
        check_dtype(name, adapter, (hidden.dtype, weight.dtype))
    check_positive("temperature", temperature)
    check_positive("block", block)
    with torch.autocast(hidden.device.type, enabled=False):
        inner = (hidden.to(down.dtype) @ down.T) * float(scaling)
    joined = torch.cat([hidden, inner.to(hidden.dtype)], dim=-1)
    parts = LowRankParts(weight.detach(), up.detach(), block=block, trains=(weight.requires_grad, up.requires_grad))
    return _by_parts(joined, targets, parts, (weight, up), temperature, entropy, mask, impl)


def _by_parts(
    hidden: Tensor,
    targets: Tensor,
    parts: Any,
    tensors: tuple[Tensor, ...],
    temperature: Number,
    entropy: bool,
    mask: Tensor | None,
    impl: Impl,
) -> ShardedLogprobs:
    live = live_rows(mask)
    rows, wanted = rows_of(hidden, live, trailing=1), rows_of(targets, live).long()
    _check_range(wanted, parts.vocabulary)
    chosen = resolve(impl, hidden.device, operation="linear_token_logprobs", unsupported=no_fp64(hidden, *tensors))
    found = by_parts(rows, wanted, parts, float(temperature), entropy, chosen, *tensors)
    return _placed(found, live, targets)


def _placed(found: tuple[Tensor, Tensor | None, Tensor], live: Tensor | None, targets: Tensor) -> ShardedLogprobs:
    logprobs, entropies, lse = found
    own = None if entropies is None else placed(entropies, live, targets)
    return ShardedLogprobs(placed(logprobs, live, targets), own, placed(lse, live, targets))


def _check_range(targets: Tensor, vocabulary: int) -> None:
    if targets.device.type == "cpu" and not torch.compiler.is_compiling():
        check_targets(targets, vocabulary, None)
