# pyright: reportMissingImports=false, reportIndexIssue=false
"""Divergence and gradient of rows whose logits, the student's and the teacher's, lie there in fp32.

One program walks one row: once for both log-sum-exps and the row's sum, once more for the gradient. JSD, whose sum has
the logarithm of a mixture, walks it three times. Nothing of the row's size is written but the gradient. A teacher that
tells its top tokens alone has no row to walk: its K entries are read where they are.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.logprobs.triton import INVERSE_LN_2, LN_2, LOG2_E, LOWEST, quick_log2
from urt_kernels.tuning import divergence_blocks, forward_blocks, power_of_two

# Logits of both heads and the gradient: 640 bf16 rows of V = 151,936, since each chunk reads and writes the fp32
# gradient of the whole weight.
WORKSPACE_BYTES = 1024 * 2**20


def whole_divergence(
    student: Tensor, teacher: Tensor, temperature: float, divergence: str, beta: float, out: Tensor
) -> Tensor:
    """The divergences ``[n]`` of logits ``[n, V]`` / temperature; their derivative by the student's logits goes to
    ``out``, which may be ``student``."""
    values = torch.empty(len(student), dtype=torch.float32, device=student.device)
    blocks = divergence_blocks(student.shape[1])
    if len(student):
        with on_device(student):
            divergence_kernel[(len(student),)](
                student,
                teacher,
                values,
                out,
                student.shape[1],
                student.stride(0),
                teacher.stride(0),
                out.stride(0),
                LOG2_E / temperature,
                beta,
                1.0 / temperature,
                DIVERGENCE=divergence,
                BLOCK=blocks.block,
                num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
            )
    return values


def top_k_divergence(student: Tensor, tokens: Tensor, logprobs: Tensor, temperature: float, out: Tensor) -> Tensor:
    """The same of sum_k q_k (ln q_k - ln p_k) over ``tokens [n, K]``. A token outside of the vocabulary makes its row's
    divergence NaN."""
    values = torch.empty(len(student), dtype=torch.float32, device=student.device)
    blocks = forward_blocks(student.shape[1])
    if len(student):
        with on_device(student):
            top_k_kernel[(len(student),)](
                student,
                tokens.contiguous(),
                logprobs.contiguous(),
                values,
                out,
                student.shape[1],
                tokens.shape[1],
                student.stride(0),
                out.stride(0),
                LOG2_E / temperature,
                1.0 / temperature,
                LISTED=power_of_two(tokens.shape[1]),
                BLOCK=blocks.block,
                num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
            )
    return values


@triton.jit
@no_type_check
def walked(row_start, columns, width, scale):
    values = tl.load(row_start + columns, mask=columns < width, other=float("-inf")).to(tl.float32)
    return tl.maximum(values * scale, LOWEST)


@triton.jit
@no_type_check
def mixture(log_p, log_q, beta):
    """ln (beta q + (1 - beta) p)"""
    highest = tl.maximum(log_p, log_q)
    p, q = tl.exp2((log_p - highest) * INVERSE_LN_2), tl.exp2((log_q - highest) * INVERSE_LN_2)
    return highest + quick_log2(beta * q + (1.0 - beta) * p) * LN_2


@triton.jit
@no_type_check
def divergence_kernel(
    student,
    teacher,
    values,
    out,
    width,
    student_stride,
    teacher_stride,
    out_stride,
    scale,
    beta,
    gradient_scale,
    DIVERGENCE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    own, other, gradients = student + row * student_stride, teacher + row * teacher_stride, out + row * out_stride
    highest_p = LOWEST
    highest_q = LOWEST
    total_p = tl.zeros([BLOCK], tl.float32)
    total_q = tl.zeros([BLOCK], tl.float32)
    # Of the logits' difference, under the teacher's weights or the student's.
    weighted = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        z_p, z_q = walked(own, columns, width, scale), walked(other, columns, width, scale)
        new_p, new_q = tl.maximum(highest_p, tl.max(z_p, 0)), tl.maximum(highest_q, tl.max(z_q, 0))
        p, q = tl.exp2(z_p - new_p), tl.exp2(z_q - new_q)
        shift_p, shift_q = tl.exp2(highest_p - new_p), tl.exp2(highest_q - new_q)
        total_p, total_q = total_p * shift_p + p, total_q * shift_q + q
        if DIVERGENCE == "forward_kl":
            weighted = weighted * shift_q + tl.where(q > 0, q * (z_q - z_p), 0.0)
        elif DIVERGENCE == "reverse_kl":
            weighted = weighted * shift_p + tl.where(p > 0, p * (z_p - z_q), 0.0)
        highest_p, highest_q = new_p, new_q
    sum_p, sum_q = tl.sum(total_p, 0), tl.sum(total_q, 0)
    lse_p, lse_q = highest_p + tl.log2(sum_p), highest_q + tl.log2(sum_q)
    value = 0.0
    mean = 0.0
    if DIVERGENCE == "forward_kl":
        value = (tl.sum(weighted, 0) / sum_q - lse_q + lse_p) * LN_2
    elif DIVERGENCE == "reverse_kl":
        value = (tl.sum(weighted, 0) / sum_p - lse_p + lse_q) * LN_2
        mean = value
    else:
        of_teacher = tl.zeros([BLOCK], tl.float32)
        of_student = tl.zeros([BLOCK], tl.float32)
        for start in range(0, width, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            log_p = (walked(own, columns, width, scale) - lse_p) * LN_2
            log_q = (walked(other, columns, width, scale) - lse_q) * LN_2
            p, q = tl.exp2(log_p * INVERSE_LN_2), tl.exp2(log_q * INVERSE_LN_2)
            log_m = mixture(log_p, log_q, beta)
            of_teacher += tl.where(q > 0, beta * q * (log_q - log_m), 0.0)
            of_student += tl.where(p > 0, (1.0 - beta) * p * (log_p - log_m), 0.0)
        mean = tl.sum(of_student, 0)
        value = tl.sum(of_teacher, 0) + mean
    tl.store(values + row, value)
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        log_p = (walked(own, columns, width, scale) - lse_p) * LN_2
        log_q = (walked(other, columns, width, scale) - lse_q) * LN_2
        p = tl.exp2(log_p * INVERSE_LN_2)
        if DIVERGENCE == "forward_kl":
            gradient = p - tl.exp2(log_q * INVERSE_LN_2)
        elif DIVERGENCE == "reverse_kl":
            gradient = tl.where(p > 0, p * (log_p - log_q - mean), 0.0)
        else:
            slope = (1.0 - beta) * (log_p - mixture(log_p, log_q, beta))
            gradient = tl.where(p > 0, p * (slope - mean), 0.0)
        pointers = gradients + columns
        tl.store(pointers, (gradient * gradient_scale).to(out.dtype.element_ty), mask=columns < width)


@triton.jit
@no_type_check
def top_k_kernel(
    student,
    tokens,
    logprobs,
    values,
    out,
    width,
    num_listed,
    student_stride,
    out_stride,
    scale,
    gradient_scale,
    LISTED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0).to(tl.int64)
    own, gradients = student + row * student_stride, out + row * out_stride
    own_tokens, own_logprobs = tokens + row * num_listed, logprobs + row * num_listed
    listed = tl.arange(0, LISTED)
    token = tl.load(own_tokens + listed, mask=listed < num_listed, other=-1)
    inside = (token >= 0) & (token < width)
    log_q = tl.load(own_logprobs + listed, mask=listed < num_listed, other=float("-inf")).to(tl.float32)
    # Read before the walk writes the gradient over the logits.
    chosen = tl.maximum(tl.load(own + token, mask=inside, other=0.0) * scale, LOWEST)
    highest = LOWEST
    total = tl.zeros([BLOCK], tl.float32)
    for start in range(0, width, BLOCK):
        z = walked(own, start + tl.arange(0, BLOCK), width, scale)
        new = tl.maximum(highest, tl.max(z, 0))
        total = total * tl.exp2(highest - new) + tl.exp2(z - new)
        highest = new
    lse = highest + tl.log2(tl.sum(total, 0))
    log_p = tl.where(inside, (chosen - lse) * LN_2, float("nan"))
    q = tl.exp2(log_q * INVERSE_LN_2)
    mass = tl.sum(q, 0)
    tl.store(values + row, tl.sum(tl.where(q > 0, q * (log_q - log_p), 0.0), 0))
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        p = tl.exp2(walked(own, columns, width, scale) - lse)
        tl.store(gradients + columns, (p * mass * gradient_scale).to(out.dtype.element_ty), mask=columns < width)
    # A token that is listed twice has the sum of its parts, in the order of the list.
    taken = tl.zeros([LISTED], tl.float32)
    for index in range(num_listed):
        same = token == tl.load(own_tokens + index)
        taken += tl.where(same, tl.exp2(tl.load(own_logprobs + index).to(tl.float32) * INVERSE_LN_2), 0.0)
    gradient = (tl.exp2(chosen - lse) * mass - taken) * gradient_scale
    tl.debug_barrier()
    tl.store(gradients + token, gradient.to(out.dtype.element_ty), mask=inside)
