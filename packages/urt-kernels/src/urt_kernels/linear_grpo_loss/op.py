"""torch.ops.urt_kernels.linear_grpo_loss: forward leaves the gradients, backward scales them by the upstream gradient."""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import check_targets, compute_dtype
from urt_kernels.grpo_loss.op import NUM_METRICS
from urt_kernels.grpo_loss.result import GRPOSettings
from urt_kernels.linear_grpo_loss.coefficients import Experience


@torch.library.custom_op("urt_kernels::linear_grpo_loss", mutates_args=())
def linear_grpo_loss_op(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float,
    rows: Tensor,
    old: Tensor,
    rollout: Tensor | None,
    reference_logprobs: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    normalizer: Tensor,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
    importance_cap: float,
    kl_coef: float,
    kl: str,
    kl_clamp: float | None,
    ratio: str,
    aggregation: str,
    needs_hidden: bool,
    needs_weight: bool,
    needs_bias: bool,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    if validate:
        check_targets(targets, len(weight), None)
    experience = Experience(rows, old, rollout, reference_logprobs, advantages, mask, normalizer)
    settings = GRPOSettings(clip_low, clip_high, dual_clip, importance_cap, kl_coef, kl, kl_clamp, ratio, aggregation)
    needs = (needs_hidden, needs_weight, needs_bias)
    return _implementation(impl).forward(hidden, weight, bias, targets, temperature, experience, settings, needs)


@linear_grpo_loss_op.register_fake
def _fake(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float,
    rows: Tensor,
    old: Tensor,
    rollout: Tensor | None,
    reference_logprobs: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    normalizer: Tensor,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None,
    importance_cap: float,
    kl_coef: float,
    kl: str,
    kl_clamp: float | None,
    ratio: str,
    aggregation: str,
    needs_hidden: bool,
    needs_weight: bool,
    needs_bias: bool,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    dtype = compute_dtype(hidden, weight, bias)
    scalar = hidden.new_empty((), dtype=dtype)
    return (
        scalar,
        scalar.new_empty(mask.shape),
        scalar.new_empty(NUM_METRICS),
        hidden.new_empty(hidden.shape if needs_hidden else (0,)),
        scalar.new_empty(weight.shape if needs_weight else (0,)),
        scalar.new_empty((weight.shape[0] if needs_bias else 0,)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, *others = output
    ctx.mark_non_differentiable(*others)
    ctx.save_for_backward(*others[2:])
    ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in inputs[:3]]


def _backward(ctx: Any, grad_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    # The product is rounded to the parameter's type on its way out: no second fp32 copy of the weight gradient.
    gradients = [
        torch.mul(gradient, grad_loss, out=torch.empty_like(gradient, dtype=dtype)) if needed else None
        for gradient, dtype, needed in zip(ctx.saved_tensors, ctx.dtypes, ctx.needs_input_grad, strict=False)
    ]
    return *gradients, *[None] * 23


linear_grpo_loss_op.register_autograd(_backward, setup_context=_setup_context)


def _implementation(impl: str) -> ModuleType:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.linear_grpo_loss.{impl}")
