"""The head and the GRPO loss in one pass."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from urt_kernels.checks import check_positive, check_same_device
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.grpo_loss import grpo_loss
from urt_kernels.grpo_loss.arguments import Objective, check_batch, checked_normalizer, checked_settings
from urt_kernels.grpo_loss.result import GRPOLoss
from urt_kernels.linear_grpo_loss.op import linear_grpo_loss_op
from urt_kernels.linear_grpo_loss.result import LinearGRPOLoss
from urt_kernels.linear_logprobs import check_head, linear_token_logprobs
from urt_kernels.shapes import Float, Int, Number, Shaped

__all__ = ["LinearGRPOLoss", "linear_grpo_loss"]


def linear_grpo_loss(
    hidden: Float[Tensor, "B T H"],
    weight: Float[Tensor, "V H"],
    targets: Int[Tensor, "B T"],
    rollout_logprobs: Float[Tensor, "B T"],
    advantages: Float[Tensor, "*_"],
    completion_mask: Shaped[Tensor, "B T"],
    *,
    temperature: Number,
    bias: Float[Tensor, " V"] | None = None,
    reference_logprobs: Float[Tensor, "B T"] | None = None,
    old_logprobs: Float[Tensor, "B T"] | None = None,
    num_tokens: Number | Tensor | None = None,
    num_sequences: Number | Tensor | None = None,
    validate_targets: bool = True,
    impl: Impl = "auto",
    **objective: Unpack[Objective],
) -> LinearGRPOLoss:
    """``grpo_loss(linear_token_logprobs(hidden, weight, targets).logprobs, ...)``, gradients included, in one pass.

    A token's coefficient depends on its own log-prob, so that the gradient can be formed while its logits are there: 6 N H V
    operations instead of 8 (4 instead of 6 with a frozen weight). Only completion tokens reach the head. Settings
    of the objective are those of `grpo_loss`. With ``ratio="sequence"`` a coefficient needs its whole sequence, and with
    fp16 operands the chunk's gradient could underflow before the loss scale reaches it: both take the two-step way.
    """
    if hidden.dim() != 3:
        raise ValueError(f"hidden has shape {list(hidden.shape)}: it must be [B, T, H].")
    check_head(hidden, weight, targets, bias, None)
    check_positive("temperature", temperature)
    check_same_device(hidden=hidden, rollout_logprobs=rollout_logprobs)
    settings = checked_settings(**objective)
    shape = (targets.shape[0], targets.shape[1])
    check_batch(
        shape, rollout_logprobs, advantages, completion_mask, reference_logprobs, old_logprobs, settings.kl_coef
    )
    normalizer = checked_normalizer(settings.aggregation, num_tokens, num_sequences, hidden.device)
    chosen = resolve(impl, hidden.device, operation="linear_grpo_loss", unsupported=no_fp64(hidden, bias))
    if settings.ratio == "sequence" or hidden.dtype == torch.float16:
        logprobs = linear_token_logprobs(
            hidden,
            weight,
            targets,
            temperature=temperature,
            bias=bias,
            mask=completion_mask != 0,
            validate_targets=validate_targets,
            impl=impl,
        ).logprobs
        sums = grpo_loss(
            logprobs,
            rollout_logprobs,
            advantages,
            completion_mask,
            reference_logprobs=reference_logprobs,
            old_logprobs=old_logprobs,
            num_tokens=num_tokens,
            num_sequences=num_sequences,
            impl=impl,
            **objective,
        )
        return LinearGRPOLoss(sums.loss, logprobs.detach(), sums._replace(loss=sums.loss.detach()))
    rows = (completion_mask != 0).reshape(-1).nonzero()[:, 0]
    track = torch.is_grad_enabled()
    loss, logprobs, metrics, *_ = linear_grpo_loss_op(
        hidden.reshape(-1, hidden.shape[-1])[rows],
        weight,
        bias,
        targets.reshape(-1)[rows],
        float(temperature),
        rows,
        rollout_logprobs if old_logprobs is None else old_logprobs,
        None if old_logprobs is None else rollout_logprobs,
        reference_logprobs,
        advantages if advantages.dim() == 2 else advantages[:, None],
        completion_mask,
        _own_normalizer(completion_mask, settings.aggregation) if normalizer is None else normalizer,
        *settings,
        track and hidden.requires_grad,
        track and weight.requires_grad,
        track and bias is not None and bias.requires_grad,
        chosen,
        validate_targets,
    )
    return LinearGRPOLoss(loss, logprobs, GRPOLoss(loss.detach(), *metrics.unbind()))


def _own_normalizer(mask: Tensor, aggregation: str) -> Tensor:
    """The divisor of this call alone, as in `grpo_loss`; the coefficients need it before the loss is known."""
    inside = mask != 0
    if aggregation == "grpo":
        return inside.any(-1).sum().double()
    if aggregation == "dapo":
        return inside.sum().double()
    return torch.full((), float(mask.numel()), dtype=torch.float64, device=mask.device)
