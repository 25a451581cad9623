"""torch.ops.urt_kernels.token_logprobs: one op for every device and implementation, with fake and autograd."""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import check_targets, compute_dtype
from urt_kernels.logprobs.result import IGNORE_TARGET
from urt_kernels.logprobs.upstream import Upstream


@torch.library.custom_op("urt_kernels::token_logprobs", mutates_args=())
def token_logprobs_op(
    logits: Tensor,
    targets: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    entropy: bool,
    inplace: bool,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if validate:
        check_targets(targets, logits.shape[-1], IGNORE_TARGET)
    return _implementation(impl).forward(logits, targets, temperature, temperatures, entropy)


@token_logprobs_op.register_fake
def _fake(
    logits: Tensor,
    targets: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    entropy: bool,
    inplace: bool,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = logits.new_empty(targets.shape, dtype=compute_dtype(logits))
    entropies = torch.empty_like(rows) if entropy else rows.new_empty(0)
    return rows, entropies, torch.empty_like(rows, dtype=torch.bool), torch.empty_like(rows)


@torch.library.custom_op("urt_kernels::token_logprobs_backward", mutates_args=())
def token_logprobs_backward_op(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    logits: Tensor,
    targets: Tensor,
    logprobs: Tensor,
    entropies: Tensor,
    lse: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    impl: str,
) -> Tensor:
    out = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
    upstream = Upstream(targets, logprobs, entropies, lse, grad_logprobs, grad_entropy, grad_lse)
    _implementation(impl).backward(upstream, logits, temperature, temperatures, out)
    return out


@token_logprobs_backward_op.register_fake
def _backward_fake(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    logits: Tensor,
    targets: Tensor,
    logprobs: Tensor,
    entropies: Tensor,
    lse: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    impl: str,
) -> Tensor:
    return logits.new_empty(logits.shape)


@torch.library.custom_op("urt_kernels::token_logprobs_backward_", mutates_args=("logits",))
def token_logprobs_backward_inplace_op(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    logits: Tensor,
    targets: Tensor,
    logprobs: Tensor,
    entropies: Tensor,
    lse: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    impl: str,
) -> None:
    """Overwrite the logits with their gradient."""
    upstream = Upstream(targets, logprobs, entropies, lse, grad_logprobs, grad_entropy, grad_lse)
    _implementation(impl).backward(upstream, logits, temperature, temperatures, logits)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    logits, targets, ctx.temperature, temperatures, ctx.entropy, ctx.inplace, ctx.impl, _ = inputs
    logprobs, entropies, top1, lse = output
    ctx.mark_non_differentiable(top1)
    ctx.save_for_backward(logits, targets, logprobs, entropies, lse, temperatures)


def _backward(
    ctx: Any, grad_logprobs: Tensor, grad_entropy: Tensor, _: Any, grad_lse: Tensor
) -> tuple[Tensor | None, ...]:
    logits, targets, logprobs, entropies, lse, temperatures = ctx.saved_tensors
    # Autograd counts the write as a new version of the logits: whoever else needs them in this backward, or a second
    # backward, gets an error, never the overwritten values. A compiler reuses memory by itself.
    inplace = ctx.inplace and not torch.compiler.is_compiling()
    logits = logits.detach() if inplace else logits
    gradient = (token_logprobs_backward_inplace_op if inplace else token_logprobs_backward_op)(
        grad_logprobs,
        grad_entropy if ctx.entropy else None,
        grad_lse,
        logits,
        targets,
        logprobs,
        entropies,
        lse,
        ctx.temperature,
        temperatures,
        ctx.impl,
    )
    return logits if gradient is None else gradient, *[None] * 7


token_logprobs_op.register_autograd(_backward, setup_context=_setup_context)


def _implementation(impl: str) -> ModuleType:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.logprobs.{impl}")
