"""The head and the objective in one pass."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from urt_kernels.checks import check_same_device
from urt_kernels.dispatch import Impl
from urt_kernels.one_pass.loss import linear_loss
from urt_kernels.one_pass.result import LinearGRPOLoss, LinearLoss
from urt_kernels.policy_loss.arguments import boolean_mask, check_mask
from urt_kernels.policy_loss.settings import Aggregation, Clips
from urt_kernels.shapes import Bool, Float, Int, Number, Shaped
from urt_kernels.surrogates import Surrogate

__all__ = ["LinearGRPOLoss", "LinearLoss", "linear_grpo_loss", "linear_loss"]


def linear_grpo_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    targets: Int[Tensor, "*N"],
    rollout_logprobs: Float[Tensor, "*N"],
    advantages: Float[Tensor, "*_"],
    completion_mask: Shaped[Tensor, "*N"],
    *,
    temperature: Number | Float[Tensor, "*N"],
    bias: Float[Tensor, " V"] | None = None,
    reference_logprobs: Float[Tensor, "*N"] | None = None,
    old_logprobs: Float[Tensor, "*N"] | None = None,
    cu_seqlens: Int[Tensor, " B_plus_1"] | None = None,
    num_tokens: Number | Tensor | None = None,
    num_sequences: Number | Tensor | None = None,
    logit_scale: Number = 1.0,
    softcap: Number | None = None,
    allowed: Bool[Tensor, "*N V"] | None = None,
    operands: torch.dtype | None = None,
    aggregation: Aggregation = "grpo",
    surrogate: str | Surrogate = "clip",
    entropy_coef: Number = 0.0,
    weight_grad: Float[Tensor, "V H"] | None = None,
    upstream: Number | Tensor | None = None,
    validate_targets: bool = True,
    impl: Impl = "auto",
    **objective: Unpack[Clips],
) -> LinearGRPOLoss:
    """``grpo_loss(linear_token_logprobs(hidden, weight, targets).logprobs, ...)``, gradients included, in one pass.

    Settings of the objective are those of `grpo_loss`, all else is that of `linear_loss`.
    """
    check_mask("completion_mask", completion_mask, tuple(targets.shape), meaning="that of targets")
    check_same_device(targets=targets, completion_mask=completion_mask)
    result = linear_loss(
        hidden,
        weight,
        targets,
        surrogate=surrogate,
        aggregation=aggregation,
        mask=boolean_mask("completion_mask", completion_mask),
        cu_seqlens=cu_seqlens,
        rollout_logprobs=rollout_logprobs,
        advantages=advantages,
        reference_logprobs=reference_logprobs,
        old_logprobs=old_logprobs,
        temperature=temperature,
        bias=bias,
        num_tokens=num_tokens,
        num_sequences=num_sequences,
        logit_scale=logit_scale,
        softcap=softcap,
        allowed=allowed,
        operands=operands,
        entropy_coef=entropy_coef,
        weight_grad=weight_grad,
        upstream=upstream,
        validate_targets=validate_targets,
        impl=impl,
        **objective,
    )
    assert result.sums is not None
    return LinearGRPOLoss(result.loss, result.policy_logprobs, result.sums)
