"""Heads whose weight is no single tensor of this process: spread over a vocabulary-parallel group, sharded by FSDP2, or
a frozen weight with a low-rank adapter."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from urt_kernels.checks import check_dtype, check_positive, check_same_device, check_shape
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.linear_logprobs.arguments import check_head, live_rows, placed, rows_of
from urt_kernels.logprobs.result import TokenLogprobs
from urt_kernels.one_pass.held import SpreadWeight
from urt_kernels.shapes import Bool, Float, Int, Number
from urt_kernels.sharded.loss import check_part, check_shards, gathered_loss, group_name, vocabulary_parallel_loss
from urt_kernels.sharded.op import parts_token_logprobs_op

__all__ = [
    "gathered_loss",
    "gathered_token_logprobs",
    "low_rank_token_logprobs",
    "vocabulary_parallel_loss",
    "vocabulary_parallel_token_logprobs",
]


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
) -> TokenLogprobs:
    """`linear_token_logprobs` of a head that the ranks of ``group`` hold part by part, for the same rows on all of
    them.

    Rank r of R has rows r c to (r + 1) c of the ``[V, H]`` weight, c = ceil(V / R) (torch.chunk, DTensor's Shard(0)).
    Five numbers per row cross the group forward (six with entropies), and the hidden states' gradient is summed over it
    in fp32 backward; that of the weight stays where the part is. The merge is that of the online softmax (arXiv
    1805.02867), in the order of the ranks: all ranks have the same bits.
    """
    check_head(hidden, weight, targets, None, mask)
    check_part(weight, vocabulary, group)
    spread = SpreadWeight(weight, "vocabulary", vocabulary, 0, group_name(group))
    return _by_parts(hidden, targets, spread, None, temperature, entropy, mask, impl)


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
) -> TokenLogprobs:
    """`linear_token_logprobs` of a DTensor weight with Shard(0), as FSDP2 holds it: each rank has rows of its own.

    ``block`` vocabulary entries are whole at a time, forward and backward; the gradient of a block is summed over the
    ranks and scattered to where its shard is (a sum, not FSDP's mean: the loss's divisor counts all ranks). All ranks
    must call it, those without rows too.
    """
    check_shards(hidden, weight, targets, block, mask)
    shard = weight.to_local(grad_placements=weight.placements)
    spread = SpreadWeight(shard, "shards", weight.shape[0], block, weight.device_mesh.get_group().group_name)
    return _by_parts(hidden, targets, spread, None, temperature, entropy, mask, impl)


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
) -> TokenLogprobs:
    """`linear_token_logprobs` of a head with a low-rank adapter, W + scaling up down (LoRA, arXiv 2106.09685, section
    4.1; peft's ``lora_A`` is down, ``lora_B`` up): neither the sum nor its gradient is formed, only ``block`` rows of
    ``[W, up]`` at a time.
    """
    check_head(hidden, weight, targets, None, mask)
    check_shape("down", down, (down.shape[0], weight.shape[1]), meaning="[R, H] with the H of hidden")
    check_shape("up", up, (weight.shape[0], down.shape[0]), meaning="[V, R] with the R of down")
    for name, adapter in {"down": down, "up": up}.items():
        check_dtype(name, adapter, (hidden.dtype, weight.dtype))
    check_same_device(weight=weight, down=down, up=up)
    if not math.isfinite(scaling):
        raise ValueError(f"scaling={scaling!r}: it must be a finite number.")
    check_positive("block", block)
    with torch.autocast(hidden.device.type, enabled=False):
        inner = (hidden.to(down.dtype) @ down.T) * float(scaling)
    joined = torch.cat([hidden, inner.to(hidden.dtype)], dim=-1)
    spread = SpreadWeight(weight, "low rank", len(weight), block, "")
    return _by_parts(joined, targets, spread, up, temperature, entropy, mask, impl)


def _by_parts(
    hidden: Tensor,
    targets: Tensor,
    spread: SpreadWeight,
    up: Tensor | None,
    temperature: Number,
    entropy: bool,
    mask: Tensor | None,
    impl: Impl,
) -> TokenLogprobs:
    check_positive("temperature", temperature)
    own, *held = spread
    live = live_rows(mask)
    logprobs, entropies, top1, lse = parts_token_logprobs_op(
        rows_of(hidden, live, trailing=1),
        own,
        up,
        rows_of(targets, live).long(),
        float(temperature),
        entropy,
        *held,
        resolve(impl, hidden.device, operation="linear_token_logprobs", unsupported=no_fp64(hidden, own, up)),
    )
    return TokenLogprobs(
        placed(logprobs, live, targets),
        placed(entropies, live, targets) if entropy else None,
        placed(top1, live, targets),
        placed(lse, live, targets),
    )
