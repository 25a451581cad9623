"""linear_loss of a head that the ranks of a group hold in parts, in one pass."""

from __future__ import annotations

from typing import Any, Required, Unpack

import torch
import torch.distributed as dist
from torch import Tensor

from urt_kernels.checks import FLOATS, INTEGERS, check_dtype, check_positive, check_same_device, check_shape
from urt_kernels.dispatch import Impl
from urt_kernels.linear_logprobs.arguments import check_head
from urt_kernels.one_pass import LinearLoss, linear_loss
from urt_kernels.one_pass.held import SpreadWeight
from urt_kernels.policy_loss.settings import Aggregation, Clips
from urt_kernels.shapes import Bool, Float, Int, Number, Shaped
from urt_kernels.surrogates import Surrogate


class Objective(Clips, total=False):
    """Arguments of `linear_loss` by name; it documents them."""

    surrogate: Required[str | Surrogate]
    temperature: Required[Number | Float[Tensor, "*N"]]
    mask: Shaped[Tensor, "*N"] | None
    cu_seqlens: Int[Tensor, " B_plus_1"] | None
    rollout_logprobs: Float[Tensor, "*N"] | None
    advantages: Float[Tensor, "*_"] | None
    reference_logprobs: Float[Tensor, "*N"] | None
    old_logprobs: Float[Tensor, "*N"] | None
    bias: Float[Tensor, " V"] | None
    logit_scale: Number
    softcap: Number | None
    allowed: Bool[Tensor, "*N V"] | None
    operands: torch.dtype | None
    aggregation: Aggregation
    num_tokens: Number | Tensor | None
    num_sequences: Number | Tensor | None
    sequences_together: int | None
    entropy: bool
    entropy_coef: Number
    weight_grad: Float[Tensor, "V H"] | None
    upstream: Number | Tensor | None
    validate_targets: bool
    impl: Impl


def vocabulary_parallel_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V_r H"],
    targets: Int[Tensor, "*N"],
    *,
    vocabulary: int,
    group: dist.ProcessGroup | None = None,
    **objective: Unpack[Objective],
) -> LinearLoss:
    """`linear_loss` of a head whose vocabulary is spread over ``group``, for the same rows on all ranks.

    ``weight``, ``bias`` and ``weight_grad`` are this rank's part, cut as for `vocabulary_parallel_token_logprobs`;
    ``allowed`` has the whole vocabulary. While a chunk's logits are there, five or six numbers a row cross the group,
    and the hidden states' gradient is summed over it in fp32. All ranks get the same bits of everything but their
    weight's gradient, which stays where its part is.
    """
    check_head(hidden, weight, targets, objective.get("bias"), None)
    check_part(weight, vocabulary, group)
    spread = SpreadWeight(weight, "vocabulary", vocabulary, 0, group_name(group))
    return linear_loss(hidden, spread, targets, **objective)


def gathered_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Any,
    targets: Int[Tensor, "*N"],
    *,
    block: int = 8192,
    **objective: Unpack[Objective],
) -> LinearLoss:
    """`linear_loss` of a DTensor weight with Shard(0), as FSDP2 holds it: each rank has rows of its own.

    For each chunk of rows ``block`` vocabulary entries are whole at a time, once for the logits and once for the
    gradients, whose sum over the ranks is scattered to where its shard is: no tensor of the whole weight's size exists,
    and the gradient takes the memory of the shard. The gradient is a sum, not FSDP's mean: give the divisor of all
    ranks. All ranks must call it, those without rows too, and multiply the loss by the same factor. ``weight_grad`` is
    a buffer of the shard's shape; ``bias`` is a DTensor with Shard(0), too.
    """
    check_shards(hidden, weight, targets, block)
    bias: Any = objective.get("bias")
    if bias is not None:
        check_spread("bias", bias)
        check_shape("bias", bias, (weight.shape[0],), meaning="one value per row of weight")
        check_dtype("bias", bias, FLOATS)
        objective["bias"] = bias.to_local(grad_placements=bias.placements)
    shard = weight.to_local(grad_placements=weight.placements)
    spread = SpreadWeight(shard, "shards", weight.shape[0], block, weight.device_mesh.get_group().group_name)
    return linear_loss(hidden, spread, targets, **objective)


def check_part(weight: Tensor, vocabulary: int, group: dist.ProcessGroup | None) -> slice:
    """The columns of this rank: r c to (r + 1) c with c = ceil(V / R)."""
    rank, ranks = dist.get_rank(group), dist.get_world_size(group)
    size = -(-vocabulary // ranks)
    own = max(0, min(size, vocabulary - rank * size))
    if own == 0:
        raise ValueError(f"vocabulary={vocabulary} in parts of {size} leaves none for rank {rank} of {ranks}.")
    if len(weight) != own:
        raise ValueError(
            f"weight has {len(weight)} rows: it must be {own}, rank {rank}'s part of vocabulary={vocabulary} over {ranks} ranks."
        )
    return slice(rank * size, rank * size + own)


def check_shards(hidden: Tensor, weight: Any, targets: Tensor, block: int, mask: Tensor | None = None) -> None:
    check_spread("weight", weight)
    check_positive("block", block)
    check_dtype("hidden", hidden, FLOATS)
    check_dtype("targets", targets, INTEGERS)
    check_shape("targets", targets, tuple(hidden.shape[:-1]), meaning="that of hidden without its last axis")
    check_shape("weight", weight, (weight.shape[0], hidden.shape[-1]), meaning="[V, H] with the H of hidden")
    check_dtype("weight", weight, FLOATS)
    if mask is not None:
        check_shape("mask", mask, tuple(targets.shape), meaning="that of targets")
        check_dtype("mask", mask, (torch.bool,))
    check_same_device(hidden=hidden, weight=weight, targets=targets, mask=mask)


def check_spread(name: str, tensor: Any) -> None:
    if not hasattr(tensor, "placements"):
        raise ValueError(
            f"{name} is a {type(tensor).__name__}: it must be a DTensor; linear_token_logprobs and linear_loss take tensors."
        )
    if [str(each) for each in tensor.placements] != ["S(0)"]:
        raise ValueError(
            f"{name} has placements {tensor.placements}: it must be [Shard(0)] on a mesh of one dimension."
        )


def group_name(group: dist.ProcessGroup | None) -> str:
    found = dist.group.WORLD if group is None else group
    assert found is not None
    return found.group_name
