"""Distillation from one head to another without the logits of either."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from urt_kernels.checks import (
    FLOATS,
    INTEGERS,
    check_choice,
    check_dtype,
    check_positive,
    check_same_device,
    check_shape,
)
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.distillation.op import linear_distillation_loss_op, linear_top_k_distillation_loss_op
from urt_kernels.distillation.result import Distillation
from urt_kernels.linear_logprobs.arguments import check_head, live_rows, placed, rows_of
from urt_kernels.shapes import Bool, Float, Int, Number

__all__ = ["Distillation", "linear_distillation_loss", "linear_top_k_distillation_loss"]

Divergence = Literal["forward_kl", "reverse_kl", "jsd"]


def linear_distillation_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    teacher_hidden: Float[Tensor, "*N K"],
    teacher_weight: Float[Tensor, "V K"],
    *,
    temperature: Number,
    divergence: Divergence = "forward_kl",
    beta: Number = 0.5,
    mask: Bool[Tensor, "*N"] | None = None,
    num_tokens: Number | None = None,
    impl: Impl = "auto",
) -> Distillation:
    """Divergence of the student's softmax p from the teacher's q over the whole vocabulary, summed over rows / ``num_tokens``.

    - ``forward_kl``: KL(q || p) = sum_j q_j (ln q_j - ln p_j); ``reverse_kl``: KL(p || q);
    - ``jsd``: beta KL(q || m) + (1 - beta) KL(p || m), m = beta q + (1 - beta) p (GKD, arXiv 2306.13649, eq. 1).

    Both heads' logits exist for one chunk of rows at a time, in fp32, and the student's gradient is formed while they do. The
    teacher gets none. ``num_tokens`` left out is the number of rows of ``mask``. ``temperature`` divides both heads' logits;
    the loss is not multiplied by its square. A row's divergence and gradient have the same bits whatever the batch.
    """
    check_choice("divergence", divergence, ("forward_kl", "reverse_kl", "jsd"))
    if not 0 < beta < 1:
        raise ValueError(f"beta={beta}: it must be above 0 and below 1.")
    check_student(hidden, weight, temperature, mask, num_tokens)
    check_shape(
        "teacher_hidden", teacher_hidden, (*hidden.shape[:-1], teacher_hidden.shape[-1]), meaning="rows of hidden"
    )
    check_shape(
        "teacher_weight",
        teacher_weight,
        (weight.shape[0], teacher_hidden.shape[-1]),
        meaning="[V, K] with the V of weight",
    )
    for name, tensor in {"teacher_hidden": teacher_hidden, "teacher_weight": teacher_weight}.items():
        check_dtype(name, tensor, FLOATS)
    check_same_device(hidden=hidden, teacher_hidden=teacher_hidden, teacher_weight=teacher_weight)
    live = live_rows(mask)
    obstacle = no_fp64(hidden, weight, teacher_hidden, teacher_weight)
    total, values, *_ = linear_distillation_loss_op(
        rows_of(hidden, live, trailing=1),
        weight,
        rows_of(teacher_hidden.detach(), live, trailing=1),
        teacher_weight.detach(),
        float(temperature),
        divergence,
        float(beta),
        *_needs(hidden, weight),
        resolve(impl, hidden.device, operation="linear_distillation_loss", unsupported=obstacle),
    )
    return _result(total, values, hidden, live, mask, num_tokens)


def linear_top_k_distillation_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    teacher_tokens: Int[Tensor, "*N K"],
    teacher_logprobs: Float[Tensor, "*N K"],
    *,
    temperature: Number,
    mask: Bool[Tensor, "*N"] | None = None,
    num_tokens: Number | None = None,
    impl: Impl = "auto",
) -> Distillation:
    """sum_k q_k (ln q_k - ln p_k) over the K tokens that a teacher's server told, as it told them (not renormalised).

    A token of log-prob -inf fills up a shorter list. ln p is that of the whole vocabulary, so that probability outside of the
    K tokens costs the student.
    """
    check_student(hidden, weight, temperature, mask, num_tokens)
    check_shape("teacher_logprobs", teacher_logprobs, tuple(teacher_tokens.shape), meaning="that of teacher_tokens")
    shape = (*hidden.shape[:-1], teacher_tokens.shape[-1])
    check_shape("teacher_tokens", teacher_tokens, shape, meaning="rows of hidden, then K")
    if shape[-1] == 0:
        raise ValueError(f"teacher_tokens has shape {list(shape)}: it must list at least one token for each row.")
    check_dtype("teacher_tokens", teacher_tokens, INTEGERS)
    check_dtype("teacher_logprobs", teacher_logprobs, FLOATS)
    check_same_device(hidden=hidden, teacher_tokens=teacher_tokens, teacher_logprobs=teacher_logprobs)
    live = live_rows(mask)
    total, values, *_ = linear_top_k_distillation_loss_op(
        rows_of(hidden, live, trailing=1),
        weight,
        rows_of(teacher_tokens, live, trailing=1),
        rows_of(teacher_logprobs.detach(), live, trailing=1),
        float(temperature),
        *_needs(hidden, weight),
        resolve(impl, hidden.device, operation="linear_top_k_distillation_loss", unsupported=no_fp64(hidden, weight)),
    )
    return _result(total, values, hidden, live, mask, num_tokens)


def check_student(
    hidden: Tensor, weight: Tensor, temperature: Number, mask: Tensor | None, num_tokens: Number | None
) -> None:
    check_head(hidden, weight, None, None, mask)
    check_positive("temperature", temperature)
    if num_tokens is not None:
        check_positive("num_tokens", num_tokens)


def _needs(hidden: Tensor, weight: Tensor) -> tuple[bool, bool]:
    track = torch.is_grad_enabled()
    return track and hidden.requires_grad, track and weight.requires_grad


def _result(
    total: Tensor, values: Tensor, hidden: Tensor, live: Tensor | None, mask: Tensor | None, num_tokens: Number | None
) -> Distillation:
    rows = hidden[..., 0]
    divisor = num_tokens
    if divisor is None:
        divisor = max(1, rows.numel()) if mask is None else mask.sum().clamp(min=1)
    return Distillation(total / divisor, placed(values, live, rows))
