"""Divergence and gradient of a student's head, chunk by chunk."""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype, exact
from urt_kernels.linear_logprobs.chunks import balanced

WORKSPACE_BYTES = 256 * 2**20


class Student(NamedTuple):
    """Student(hidden [n, H], weight [V, H], temperature=1.0, scale=1 / num_tokens)"""

    hidden: Tensor
    weight: Tensor
    temperature: float
    scale: float


class TeacherHead(NamedTuple):
    """TeacherHead(hidden [n, K], weight [V, K])"""

    hidden: Tensor
    weight: Tensor


class TeacherTokens(NamedTuple):
    """TeacherTokens(tokens [n, K], logprobs [n, K])"""

    tokens: Tensor
    logprobs: Tensor


def distilled(
    student: Student, teacher: TeacherHead | TeacherTokens, divergence: str, beta: float, impl: str
) -> tuple[Tensor, Tensor]:
    """(scale times the sum of divergences, the divergences ``[n]``)."""
    return _Distilled.apply(student.hidden, student.weight, student, teacher, divergence, beta, impl)  # pyright: ignore[reportReturnType]


class _Distilled(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        student: Student,
        teacher: TeacherHead | TeacherTokens,
        divergence: str,
        beta: float,
        impl: str,
    ) -> tuple[Tensor, Tensor]:
        needs_hidden, needs_weight = ctx.needs_input_grad[:2]
        dtype = compute_dtype(hidden, weight, teacher.hidden if isinstance(teacher, TeacherHead) else None)
        values = torch.empty(len(hidden), dtype=dtype, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs_hidden else None
        make = torch.empty if len(hidden) else torch.zeros
        grad_weight = make(weight.shape, dtype=dtype, device=weight.device) if needs_weight else None
        largest = max(1, WORKSPACE_BYTES // (4 * len(weight) * dtype.itemsize))
        with exact(hidden):
            wide = weight.to(dtype)
            for rows in balanced(len(hidden), largest, step=1):
                chunk = hidden[rows].to(dtype)
                logits = chunk @ wide.T
                if isinstance(teacher, TeacherHead):
                    other = teacher.hidden[rows].to(dtype) @ teacher.weight.to(dtype).T
                    values[rows], gradient = _of_logits(logits, other, student, divergence, beta, impl)
                else:
                    log_p = logits.div_(student.temperature).log_softmax(-1)
                    values[rows], gradient = top_k_divergence(
                        log_p, teacher.tokens[rows], teacher.logprobs[rows].to(dtype)
                    )
                    gradient.mul_(student.scale / student.temperature)
                if grad_hidden is not None:
                    grad_hidden[rows] = (gradient @ wide).to(hidden.dtype)
                if grad_weight is not None:
                    if rows.start == 0:
                        torch.mm(gradient.T, chunk, out=grad_weight)
                    else:
                        grad_weight.addmm_(gradient.T, chunk)
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.dtypes = (hidden.dtype, weight.dtype)
        ctx.mark_non_differentiable(values)
        return values.sum() * student.scale, values

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        gradients = [
            None if gradient is None else (gradient * grad_loss).to(dtype)
            for gradient, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return *gradients, None, None, None, None, None


def _of_logits(
    logits: Tensor, teacher: Tensor, student: Student, divergence: str, beta: float, impl: str
) -> tuple[Tensor, Tensor]:
    """(divergences, the loss's derivative by the student's logits) from both heads' products, which are overwritten."""
    if impl == "triton":
        kernels = import_module("urt_kernels.distillation.triton")
        values = kernels.whole_divergence(
            logits, teacher, student.temperature, divergence, beta, student.scale, out=logits
        )
        return values, logits
    log_p, log_q = (each.div_(student.temperature).log_softmax(-1) for each in (logits, teacher))
    values, gradient = whole_divergence(log_p, log_q, divergence, beta)
    return values, gradient.mul_(student.scale / student.temperature)


def whole_divergence(log_p: Tensor, log_q: Tensor, divergence: str, beta: float) -> tuple[Tensor, Tensor]:
    """(divergences ``[n]``, their derivative by the student's logits ``[n, V]``).

    With u = d D / d p: dz_j = p_j (u_j - sum_i p_i u_i). KL(q || p): p - q. KL(p || q): u = ln p - ln q. JSD:
    u = (1 - beta) (ln p - ln m), what else its derivative has adds up to a constant.
    """
    p, q = log_p.exp(), log_q.exp()
    if divergence == "forward_kl":
        return (q * (log_q - log_p)).sum(-1), p - q
    if divergence == "reverse_kl":
        slope = log_p - log_q
        value = (p * slope).sum(-1)
        return value, p * (slope - value[:, None])
    log_m = torch.logaddexp(log_q + torch.log(q.new_tensor(beta)), log_p + torch.log(q.new_tensor(1.0 - beta)))
    slope = (1.0 - beta) * (log_p - log_m)
    own = (p * slope).sum(-1)
    return beta * (q * (log_q - log_m)).sum(-1) + own, p * (slope - own[:, None])


def top_k_divergence(log_p: Tensor, tokens: Tensor, logprobs: Tensor) -> tuple[Tensor, Tensor]:
    """The same of sum_k q_k (ln q_k - ln p_k): dz = p sum_k q_k - q."""
    q = logprobs.exp()
    terms = q * (logprobs - log_p.gather(-1, tokens))
    value = torch.where(q > 0, terms, 0.0).sum(-1)
    gradient = log_p.exp().mul_(q.sum(-1, keepdim=True))
    return value, gradient.scatter_add_(-1, tokens, -q)
