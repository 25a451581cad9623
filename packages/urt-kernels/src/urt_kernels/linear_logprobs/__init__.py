"""Log-probs of chosen tokens straight from hidden states and the head's weight."""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import FLOATS, INTEGERS, check_dtype, check_positive, check_same_device, check_shape
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.linear_logprobs.op import linear_token_logprobs_op
from urt_kernels.shapes import Bool, Float, Int, Number
from urt_kernels.token_logprobs.result import TokenLogprobs

__all__ = ["linear_token_logprobs"]


def linear_token_logprobs(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    targets: Int[Tensor, "*N"],
    *,
    temperature: Number,
    bias: Float[Tensor, " V"] | None = None,
    entropy: bool = False,
    mask: Bool[Tensor, "*N"] | None = None,
    validate_targets: bool = True,
    impl: Impl = "auto",
) -> TokenLogprobs:
    """``token_logprobs(hidden @ weight.T + bias, targets)`` without the ``[N, V]`` logits, forward and backward.

    Logits are fp32 products of the operands as they are (bf16 in, fp32 accumulated and kept). The workspace does not depend on
    the number of rows, the weight gradient is summed in fp32, and a row's bits do not depend on its neighbours. Rows outside
    ``mask`` never reach the head: they read zero (top1 False) and give no gradient. ``weight`` is a plain tensor: gather a
    sharded parameter first.
    """
    check_head(hidden, weight, targets, bias, mask)
    check_positive("temperature", temperature)
    chosen = resolve(impl, hidden.device, operation="linear_token_logprobs", unsupported=no_fp64(hidden, bias))
    rows, row_targets = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
    kept = None if mask is None else mask.reshape(-1).nonzero()[:, 0]
    if kept is not None:
        rows, row_targets = rows[kept], row_targets[kept]
    logprobs, entropies, top1, lse = linear_token_logprobs_op(
        rows, weight, bias, row_targets, float(temperature), entropy, chosen, validate_targets
    )
    return TokenLogprobs(
        _placed(logprobs, kept, targets),
        _placed(entropies, kept, targets) if entropy else None,
        _placed(top1, kept, targets),
        _placed(lse, kept, targets),
    )


def _placed(values: Tensor, kept: Tensor | None, targets: Tensor) -> Tensor:
    """Values of the kept rows in the shape of `targets`, 0 elsewhere."""
    if kept is not None:
        values = torch.zeros(targets.numel(), dtype=values.dtype, device=values.device).index_copy(0, kept, values)
    return values.reshape(targets.shape)


def check_head(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None, mask: Tensor | None) -> None:
    if hidden.dim() < 2 or hidden.shape[-1] == 0:
        raise ValueError(f"hidden has shape {list(hidden.shape)}: it must be [..., H] with H of at least 1.")
    if weight.dim() != 2 or weight.shape[0] == 0:
        raise ValueError(f"weight has shape {list(weight.shape)}: it must be [V, H] with V of at least 1.")
    check_shape("weight", weight, (weight.shape[0], hidden.shape[-1]), meaning="[V, H] with the H of hidden")
    check_shape("targets", targets, tuple(hidden.shape[:-1]), meaning="that of hidden without its last axis")
    check_dtype("hidden", hidden, FLOATS)
    check_dtype("weight", weight, (hidden.dtype,))
    check_dtype("targets", targets, INTEGERS)
    if bias is not None:
        check_shape("bias", bias, (weight.shape[0],), meaning="one value per row of weight")
        check_dtype("bias", bias, FLOATS)
    if mask is not None:
        check_shape("mask", mask, tuple(targets.shape), meaning="that of targets")
        check_dtype("mask", mask, (torch.bool,))
    check_same_device(hidden=hidden, weight=weight, targets=targets, bias=bias, mask=mask)
