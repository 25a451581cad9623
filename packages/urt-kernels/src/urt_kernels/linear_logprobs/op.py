"""torch.ops.urt_kernels.linear_token_logprobs: one op for every device and implementation, with fake and autograd."""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import check_targets, compute_dtype, exact
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.logprobs.result import IGNORE_TARGET
from urt_kernels.logprobs.upstream import Upstream


@torch.library.custom_op("urt_kernels::linear_token_logprobs", mutates_args=())
def linear_token_logprobs_op(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    logit_scale: float,
    softcap: float | None,
    allowed: Tensor | None,
    operands: torch.dtype | None,
    entropy: bool,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if validate:
        check_targets(targets, len(weight), IGNORE_TARGET)
    head = Head(weight, bias, temperature, temperatures, logit_scale, softcap, allowed, operands)
    with exact(hidden):
        return _implementation(impl).forward(hidden, head, targets, entropy)


@linear_token_logprobs_op.register_fake
def _fake(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    logit_scale: float,
    softcap: float | None,
    allowed: Tensor | None,
    operands: torch.dtype | None,
    entropy: bool,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = hidden.new_empty(targets.shape, dtype=compute_dtype(hidden, weight, bias))
    entropies = torch.empty_like(rows) if entropy else rows.new_empty(0)
    return rows, entropies, torch.empty_like(rows, dtype=torch.bool), torch.empty_like(rows)


@torch.library.custom_op("urt_kernels::linear_token_logprobs_backward", mutates_args=())
def linear_token_logprobs_backward_op(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    logprobs: Tensor,
    entropies: Tensor | None,
    lse: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    logit_scale: float,
    softcap: float | None,
    allowed: Tensor | None,
    operands: torch.dtype | None,
    needs_hidden: bool,
    needs_weight: bool,
    needs_bias: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    head = Head(weight, bias, temperature, temperatures, logit_scale, softcap, allowed, operands)
    upstream = Upstream(targets, logprobs, entropies, lse, grad_logprobs, grad_entropy, grad_lse)
    with exact(hidden):
        return _implementation(impl).backward(upstream, hidden, head, (needs_hidden, needs_weight, needs_bias))


@linear_token_logprobs_backward_op.register_fake
def _backward_fake(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    logprobs: Tensor,
    entropies: Tensor | None,
    lse: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    logit_scale: float,
    softcap: float | None,
    allowed: Tensor | None,
    operands: torch.dtype | None,
    needs_hidden: bool,
    needs_weight: bool,
    needs_bias: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        hidden.new_empty(hidden.shape if needs_hidden else (0,)),
        weight.new_empty(weight.shape if needs_weight else (0,)),
        weight.new_empty((weight.shape[0] if needs_bias else 0,), dtype=weight.dtype if bias is None else bias.dtype),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    hidden, weight, bias, targets, ctx.temperature, temperatures, *settings, ctx.entropy, ctx.impl, _ = inputs
    ctx.logit_scale, ctx.softcap, allowed, ctx.operands = settings
    logprobs, entropies, top1, lse = output
    ctx.mark_non_differentiable(top1)
    ctx.save_for_backward(hidden, weight, bias, targets, logprobs, entropies, lse, temperatures, allowed)


def _backward(
    ctx: Any, grad_logprobs: Tensor, grad_entropy: Tensor, _: Any, grad_lse: Tensor
) -> tuple[Tensor | None, ...]:
    hidden, weight, bias, targets, logprobs, entropies, lse, temperatures, allowed = ctx.saved_tensors
    needs = ctx.needs_input_grad[:3]
    gradients = linear_token_logprobs_backward_op(
        grad_logprobs,
        grad_entropy if ctx.entropy else None,
        grad_lse,
        hidden,
        weight,
        bias,
        targets,
        logprobs,
        entropies if ctx.entropy else None,
        lse,
        ctx.temperature,
        temperatures,
        ctx.logit_scale,
        ctx.softcap,
        allowed,
        ctx.operands,
        *needs,
        ctx.impl,
    )
    return *(gradient if needed else None for gradient, needed in zip(gradients, needs, strict=True)), *[None] * 10


linear_token_logprobs_op.register_autograd(_backward, setup_context=_setup_context)


def _implementation(impl: str) -> ModuleType:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.linear_logprobs.{impl}")
