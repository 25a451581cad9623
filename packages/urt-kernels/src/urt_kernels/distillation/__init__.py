"""Distillation from one head to another without the logits of either."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor

from urt_kernels.checks import check_choice, check_dtype, check_positive, check_same_device, check_shape
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.distillation.function import Student, TeacherHead, TeacherTokens, distilled
from urt_kernels.linear_logprobs.arguments import check_head, live_rows, placed, rows_of
from urt_kernels.shapes import Bool, Float, Int, Number

__all__ = ["Distillation", "linear_distillation_loss", "linear_top_k_distillation_loss"]

Divergence = Literal["forward_kl", "reverse_kl", "jsd"]


class Distillation(NamedTuple):
    """The mean divergence, and that of each row.

    >>> result = linear_distillation_loss(hidden, weight, teacher_hidden, teacher_weight, temperature=1.0, mask=mask)
    >>> result.loss.backward()
    """

    loss: Float[Tensor, ""]
    """Differentiable in the student's hidden and weight."""
    divergences: Float[Tensor, "*N"]
    """In nats, without gradient; 0 outside of the mask."""


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
    the loss is not multiplied by its square.
    """
    check_choice("divergence", divergence, ("forward_kl", "reverse_kl", "jsd"))
    if not 0 < beta < 1:
        raise ValueError(f"beta={beta}: it must be above 0 and below 1.")
    check_shape(
        "teacher_hidden", teacher_hidden, (*hidden.shape[:-1], teacher_hidden.shape[-1]), meaning="rows of hidden"
    )
    check_shape(
        "teacher_weight",
        teacher_weight,
        (weight.shape[0], teacher_hidden.shape[-1]),
        meaning="[V, K] with the V of weight",
    )
    check_same_device(hidden=hidden, teacher_hidden=teacher_hidden, teacher_weight=teacher_weight)
    live = live_rows(mask)
    teacher = TeacherHead(rows_of(teacher_hidden.detach(), live, trailing=1), teacher_weight.detach())
    obstacle = no_fp64(hidden, weight, teacher_hidden, teacher_weight)
    chosen = resolve(impl, hidden.device, operation="linear_distillation_loss", unsupported=obstacle)
    return _result(hidden, weight, teacher, live, temperature, divergence, float(beta), mask, num_tokens, chosen)


def linear_top_k_distillation_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    teacher_tokens: Int[Tensor, "*N K"],
    teacher_logprobs: Float[Tensor, "*N K"],
    *,
    temperature: Number,
    mask: Bool[Tensor, "*N"] | None = None,
    num_tokens: Number | None = None,
) -> Distillation:
    """sum_k q_k (ln q_k - ln p_k) over the K tokens that a teacher's server told, as it told them (not renormalised).

    A token of log-prob -inf fills up a shorter list. ln p is that of the whole vocabulary, so that probability outside of the
    K tokens costs the student.
    """
    check_shape("teacher_logprobs", teacher_logprobs, tuple(teacher_tokens.shape), meaning="that of teacher_tokens")
    shape = (*hidden.shape[:-1], teacher_tokens.shape[-1])
    check_shape("teacher_tokens", teacher_tokens, shape, meaning="rows of hidden, then K")
    check_same_device(hidden=hidden, teacher_tokens=teacher_tokens, teacher_logprobs=teacher_logprobs)
    wrong = (teacher_tokens < 0) | (teacher_tokens >= weight.shape[0])
    if teacher_tokens.device.type == "cpu" and bool(wrong.any()):
        value = int(teacher_tokens[wrong][0])
        raise ValueError(f"teacher_tokens holds {value}: allowed are 0 to {weight.shape[0] - 1}.")
    live = live_rows(mask)
    teacher = TeacherTokens(
        rows_of(teacher_tokens, live, trailing=1).long(), rows_of(teacher_logprobs.detach(), live, trailing=1)
    )
    return _result(hidden, weight, teacher, live, temperature, "forward_kl", 0.5, mask, num_tokens, "reference")


def _result(
    hidden: Tensor,
    weight: Tensor,
    teacher: TeacherHead | TeacherTokens,
    live: Tensor | None,
    temperature: Number,
    divergence: str,
    beta: float,
    mask: Tensor | None,
    num_tokens: Number | None,
    impl: str,
) -> Distillation:
    rows = hidden[..., 0]
    check_head(hidden, weight, rows.long(), None, mask)
    check_dtype("hidden", hidden, (hidden.dtype,))
    check_positive("temperature", temperature)
    student = rows_of(hidden, live, trailing=1)
    if num_tokens is not None:
        check_positive("num_tokens", num_tokens)
    scale = 1.0 / float(len(student) or 1) if num_tokens is None else 1.0 / float(num_tokens)
    loss, values = distilled(Student(student, weight, float(temperature), scale), teacher, divergence, beta, impl)
    return Distillation(loss, placed(values, live, rows))
