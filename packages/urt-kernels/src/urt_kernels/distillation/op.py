"""torch.ops.urt_kernels.linear_distillation_loss and linear_top_k_distillation_loss: forward leaves the gradients of
the summed divergences, backward scales them by the upstream gradient."""

from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import check_targets, compute_dtype
from urt_kernels.distillation.student import Heights, over_chunks
from urt_kernels.linear_logprobs.products import Block

Outputs = tuple[Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("urt_kernels::linear_distillation_loss", mutates_args=())
def linear_distillation_loss_op(
    hidden: Tensor,
    weight: Tensor,
    teacher_hidden: Tensor,
    teacher_weight: Tensor,
    temperature: float,
    divergence: str,
    beta: float,
    needs_hidden: bool,
    needs_weight: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    dtype = compute_dtype(hidden, weight, teacher_hidden, teacher_weight)
    operand = _operand(impl, dtype, teacher_hidden, teacher_weight)
    wide, heights = teacher_weight.to(operand), _heights(impl, hidden, weight, dtype, num_heads=2)

    def of_chunk(rows: slice, logits: Tensor, out: Tensor) -> Tensor:
        chunk = heights.chunk(teacher_hidden, rows).to(operand)
        other = Block([rows], len(wide), logits, dtype=dtype).view(len(chunk), len(wide))
        heights.product(chunk, wide.T, out=other)
        return _implementation(impl).whole_divergence(logits, other, temperature, divergence, beta, out)

    needs, operand_of_student = (needs_hidden, needs_weight), _operand(impl, dtype, hidden, weight)
    return over_chunks(hidden, weight, of_chunk, needs, dtype=dtype, operand=operand_of_student, heights=heights)


@torch.library.custom_op("urt_kernels::linear_top_k_distillation_loss", mutates_args=())
def linear_top_k_distillation_loss_op(
    hidden: Tensor,
    weight: Tensor,
    teacher_tokens: Tensor,
    teacher_logprobs: Tensor,
    temperature: float,
    needs_hidden: bool,
    needs_weight: bool,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if teacher_tokens.device.type == "cpu":
        check_targets(teacher_tokens, len(weight), None, name="teacher_tokens")

    dtype = compute_dtype(hidden, weight)
    heights = _heights(impl, hidden, weight, dtype, num_heads=1)

    def of_chunk(rows: slice, logits: Tensor, out: Tensor) -> Tensor:
        listed = heights.chunk(teacher_tokens, rows), heights.chunk(teacher_logprobs, rows)
        return _implementation(impl).top_k_divergence(logits, *listed, temperature, out)

    needs, operand = (needs_hidden, needs_weight), _operand(impl, dtype, hidden, weight)
    return over_chunks(hidden, weight, of_chunk, needs, dtype=dtype, operand=operand, heights=heights)


def _heights(impl: str, hidden: Tensor, weight: Tensor, dtype: torch.dtype, *, num_heads: int) -> Heights:
    """By what the workspace holds: the logits of each head, and their gradient where that is of another type."""
    operand = _operand(impl, dtype, hidden, weight)
    bytes_of_an_entry = num_heads * dtype.itemsize + (0 if operand == dtype else operand.itemsize)
    fitting = _implementation(impl).WORKSPACE_BYTES // (len(weight) * bytes_of_an_entry)
    return Heights.of_tiles(fitting) if impl == "reference" else Heights.of_chunks(fitting)


def _operand(impl: str, dtype: torch.dtype, hidden: Tensor, weight: Tensor) -> torch.dtype:
    """The type in which a head's products are multiplied: on a GPU the wider one of its operands."""
    return dtype if impl == "reference" else torch.promote_types(hidden.dtype, weight.dtype)


@linear_distillation_loss_op.register_fake
def _fake(
    hidden: Tensor,
    weight: Tensor,
    teacher_hidden: Tensor,
    teacher_weight: Tensor,
    temperature: float,
    divergence: str,
    beta: float,
    needs_hidden: bool,
    needs_weight: bool,
    impl: str,
) -> Outputs:
    dtype = compute_dtype(hidden, weight, teacher_hidden, teacher_weight)
    return _empty(hidden, weight, needs_hidden, needs_weight, dtype)


@linear_top_k_distillation_loss_op.register_fake
def _top_k_fake(
    hidden: Tensor,
    weight: Tensor,
    teacher_tokens: Tensor,
    teacher_logprobs: Tensor,
    temperature: float,
    needs_hidden: bool,
    needs_weight: bool,
    impl: str,
) -> Outputs:
    return _empty(hidden, weight, needs_hidden, needs_weight, compute_dtype(hidden, weight))


def _empty(hidden: Tensor, weight: Tensor, needs_hidden: bool, needs_weight: bool, dtype: torch.dtype) -> Outputs:
    values = hidden.new_empty(hidden.shape[0], dtype=dtype)
    by_hidden = hidden.new_empty(hidden.shape if needs_hidden else (0,))
    return values.new_empty(()), values, by_hidden, values.new_empty(weight.shape if needs_weight else (0,))


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Outputs) -> None:
    _, values, *gradients = output
    ctx.mark_non_differentiable(values, *gradients)
    ctx.save_for_backward(*gradients)
    ctx.dtypes = [tensor.dtype for tensor in inputs[:2]]
    ctx.num_inputs = len(inputs)


def _backward(ctx: Any, grad_sum: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    # The product is rounded to the parameter's type on its way out: no second fp32 copy of the weight gradient.
    scaled = [
        torch.mul(gradient, grad_sum, out=torch.empty_like(gradient, dtype=dtype)) if needed else None
        for gradient, dtype, needed in zip(ctx.saved_tensors, ctx.dtypes, ctx.needs_input_grad, strict=False)
    ]
    return *scaled, *[None] * (ctx.num_inputs - len(scaled))


linear_distillation_loss_op.register_autograd(_backward, setup_context=_setup_context)
linear_top_k_distillation_loss_op.register_autograd(_backward, setup_context=_setup_context)


def _implementation(impl: str) -> ModuleType:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.distillation.{impl}")
