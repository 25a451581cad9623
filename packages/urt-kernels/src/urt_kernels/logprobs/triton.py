# pyright: reportMissingImports=false, reportIndexIssue=false
"""token_logprobs in Triton: one pass over the logits forward, one pass backward, fp32 throughout.

Exponentials are in base 2: with c = log2(e) / temperature, softmax is 2^(c z - m) / sum, which folds the temperature
into a multiplication that is needed anyway. ``no_type_check`` keeps run-time type checkers away from code that Triton
compiles.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.logprobs.result import IGNORE_TARGET
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.rows import row_layout
from urt_kernels.tuning import backward_blocks, forward_blocks

LOG2_E = 1.4426950408889634
LN_2 = tl.constexpr(0.6931471805599453)
INVERSE_LN_2 = tl.constexpr(LOG2_E)
# Finite stand-in for -inf: it starts the running maximum, and keeps 0 * log 0 at 0.
LOWEST = tl.constexpr(-1e30)
IGNORE = tl.constexpr(IGNORE_TARGET)


def forward(
    logits: Tensor, targets: Tensor, temperature: float, temperatures: Tensor | None, entropy: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logprobs = torch.empty(targets.shape, dtype=torch.float32, device=logits.device)
    entropies = torch.empty_like(logprobs) if entropy else logprobs.new_empty(0)
    top1 = torch.empty_like(logprobs, dtype=torch.bool)
    lse = torch.empty_like(logprobs)
    vocabulary = logits.shape[-1]
    blocks = forward_blocks(vocabulary)
    layout = row_layout(logits)
    if layout is None:
        return forward(logits.contiguous(), targets, temperature, temperatures, entropy)
    if targets.numel() > 0:
        with on_device(logits):
            forward_kernel[(targets.numel(),)](
                logits,
                None if temperatures is None else temperatures.contiguous(),
                targets.contiguous(),
                logprobs,
                entropies,
                top1,
                lse,
                vocabulary,
                *layout,
                LOG2_E / temperature,
                WITH_ENTROPY=entropy,
                WITH_TEMPERATURES=temperatures is not None,
                BLOCK=blocks.block,
                num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
            )
    return logprobs, entropies, top1, lse


def backward(upstream: Upstream, logits: Tensor, temperature: float, temperatures: Tensor | None, out: Tensor) -> None:
    """Write d loss / d logits into ``out``, which may be ``logits`` itself."""
    targets, logprobs, entropies, lse, grad_logprobs, grad_entropy, grad_lse = upstream
    assert grad_lse is not None
    if targets.numel() == 0:
        return
    blocks = backward_blocks(logits.shape[-1])
    layout, out_layout = row_layout(logits), row_layout(out)
    if layout is None or out_layout is None:
        copy = logits.contiguous()
        backward(upstream, copy, temperature, temperatures, copy)
        out.copy_(copy)
        return
    with on_device(logits):
        backward_kernel[(targets.numel(),)](
            grad_logprobs.contiguous(),
            None if grad_entropy is None else grad_entropy.contiguous(),
            grad_lse.contiguous(),
            logits,
            None if temperatures is None else temperatures.contiguous(),
            targets.contiguous(),
            logprobs,
            entropies,
            lse,
            out,
            logits.shape[-1],
            *layout,
            *out_layout,
            1.0 / temperature,
            WITH_ENTROPY=grad_entropy is not None,
            WITH_TEMPERATURES=temperatures is not None,
            BLOCK=blocks.block,
            num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
        )


@triton.jit
@no_type_check
def row_pointer(base, row, rows_per_outer, stride_outer, stride_inner):
    outer = (row // rows_per_outer).to(tl.int64)
    inner = (row % rows_per_outer).to(tl.int64)
    return base + outer * stride_outer + inner * stride_inner


@triton.jit
@no_type_check
def columns_pointer(row_start, columns, stride_column):
    # A stride of 1 is a constant to Triton, and 32-bit offsets then keep the loads wide.
    if stride_column == 1:
        return row_start + columns
    else:
        return row_start + columns.to(tl.int64) * stride_column


@triton.jit
@no_type_check
def merge_block(values, highest, total, weighted, WITH_ENTROPY: tl.constexpr):
    """Fold scaled values (base 2, -inf where absent) into the running maximum and the per-lane sums; also 2^(value -
    maximum).

    Only the maximum crosses lanes in a step. Moving the maximum by ``shift`` turns sum e^x (x - m) into
    (sum + shift * total) * 2^shift.
    """
    new_highest = tl.maximum(highest, tl.max(values, 0))
    shift = highest - new_highest
    rescale = tl.exp2(shift)
    shifted = values - new_highest
    weights = tl.exp2(shifted)
    if WITH_ENTROPY:
        weighted = (weighted + shift * total) * rescale + weights * tl.maximum(shifted, LOWEST)
    return new_highest, total * rescale + weights, weighted, weights


@triton.jit
@no_type_check
def forward_kernel(
    logits,
    temperatures,
    targets,
    logprobs,
    entropies,
    top1,
    lse,
    vocabulary,
    rows_per_outer,
    stride_outer,
    stride_inner,
    stride_column,
    scale,
    WITH_ENTROPY: tl.constexpr,
    WITH_TEMPERATURES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0)
    target = tl.load(targets + row).to(tl.int64)
    if target == IGNORE:
        tl.store(logprobs + row, 0.0)
        tl.store(lse + row, 0.0)
        tl.store(top1 + row, False)
        if WITH_ENTROPY:
            tl.store(entropies + row, 0.0)
    else:
        if WITH_TEMPERATURES:
            scale = scale / tl.load(temperatures + row).to(tl.float32)
        row_start = row_pointer(logits, row, rows_per_outer, stride_outer, stride_inner)
        inside = (target >= 0) & (target < vocabulary)
        chosen = tl.load(row_start + target * stride_column, mask=inside, other=float("nan")).to(tl.float32) * scale
        highest = LOWEST
        total = tl.zeros([BLOCK], tl.float32)
        weighted = tl.zeros([BLOCK], tl.float32)
        for start in range(0, vocabulary, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            pointers = columns_pointer(row_start, columns, stride_column)
            values = tl.load(pointers, mask=columns < vocabulary, other=float("-inf")).to(tl.float32) * scale
            highest, total, weighted, _ = merge_block(values, highest, total, weighted, WITH_ENTROPY)
        row_total = tl.sum(total, 0)
        log_total = tl.log2(row_total)
        tl.store(logprobs + row, ((chosen - highest) - log_total) * LN_2)
        tl.store(lse + row, (highest + log_total) * LN_2)
        # A NaN anywhere in the row is in the total, not in the maximum.
        tl.store(top1 + row, (chosen >= highest) & (row_total == row_total))
        if WITH_ENTROPY:
            tl.store(entropies + row, (log_total - tl.sum(weighted, 0) / row_total) * LN_2)


@triton.jit
@no_type_check
def logits_gradient(
    log_p, columns, target, logprob, grad_logprob, grad_entropy, grad_lse, entropy, scale, WITH_ENTROPY: tl.constexpr
):
    """The gradient of token_logprobs.reference.backward for one block, from ln p of its entries."""
    p = tl.exp2(log_p * INVERSE_LN_2)
    factor = grad_lse - grad_logprob
    if WITH_ENTROPY:
        factor = factor - grad_entropy * (tl.maximum(log_p, LOWEST) + entropy)
    # The target's own entry from its log-prob: 1 - p of a p near 1 would be all rounding.
    own = tl.exp2(logprob * INVERSE_LN_2) * grad_lse + grad_logprob * minus_expm1(logprob)
    if WITH_ENTROPY:
        own -= grad_entropy * tl.exp2(logprob * INVERSE_LN_2) * (logprob + entropy)
    return tl.where(columns == target, own, p * factor) * scale


@triton.jit
@no_type_check
def minus_expm1(exponent):
    """1 - e^x for x <= 0, with its leading digits near 0."""
    series = -exponent * (1.0 + exponent * (0.5 + exponent * (0.16666667 + exponent * 0.041666668)))
    return tl.where(exponent > -0.015625, series, 1.0 - tl.exp2(exponent * INVERSE_LN_2))


@triton.jit
@no_type_check
def quick_log2(values):
    """log2 of normal numbers, within 3e-7 of the true one and exact at 1; some finite number for 0 and below 2^-126.

    The exponent's bits, and a polynomial in f = m - 1 for m in [sqrt(1/2), sqrt(2)): the minimax one of degree 7 without
    a constant term. The library's logarithm takes twice as many instructions for what an exponential rounded to the
    operands' type does not hold.
    """
    bits = values.to(tl.int32, bitcast=True) - 0x3F3504F3
    f = ((bits & 0x7FFFFF) + 0x3F3504F3).to(tl.float32, bitcast=True) - 1.0
    series = -0.27269792 + f * 0.17063437
    series = -0.35896185 + f * (0.29726262 + f * series)
    series = 1.4426997 + f * (-0.72137587 + f * (0.48046503 + f * series))
    return (bits >> 23).to(tl.float32) + f * series


@triton.jit
@no_type_check
def backward_kernel(
    grad_logprobs,
    grad_entropies,
    grad_lse,
    logits,
    temperatures,
    targets,
    logprobs,
    entropies,
    lse,
    out,
    vocabulary,
    rows_per_outer,
    stride_outer,
    stride_inner,
    stride_column,
    out_rows_per_outer,
    out_stride_outer,
    out_stride_inner,
    out_stride_column,
    inverse_temperature,
    WITH_ENTROPY: tl.constexpr,
    WITH_TEMPERATURES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One program walks one row: what a row needs is loaded once, and a step costs what its elements cost."""
    row = tl.program_id(0)
    out_start = row_pointer(out, row, out_rows_per_outer, out_stride_outer, out_stride_inner)
    target = tl.load(targets + row)
    grad_logprob = tl.load(grad_logprobs + row).to(tl.float32)
    upstream_lse = tl.load(grad_lse + row).to(tl.float32)
    grad_entropy = 0.0
    entropy = 0.0
    alive = (grad_logprob != 0) | (upstream_lse != 0)
    if WITH_ENTROPY:
        grad_entropy = tl.load(grad_entropies + row).to(tl.float32)
        entropy = tl.load(entropies + row)
        alive = alive | (grad_entropy != 0)
    if (target != IGNORE) & alive:
        if WITH_TEMPERATURES:
            inverse_temperature = inverse_temperature / tl.load(temperatures + row).to(tl.float32)
        row_start = row_pointer(logits, row, rows_per_outer, stride_outer, stride_inner)
        row_lse = tl.load(lse + row)
        logprob = tl.load(logprobs + row)
        for start in range(0, vocabulary, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            present = columns < vocabulary
            values = tl.load(columns_pointer(row_start, columns, stride_column), mask=present, other=0.0)
            gradient = logits_gradient(
                values.to(tl.float32) * inverse_temperature - row_lse,
                columns,
                target,
                logprob,
                grad_logprob,
                grad_entropy,
                upstream_lse,
                entropy,
                inverse_temperature,
                WITH_ENTROPY,
            )
            pointers = columns_pointer(out_start, columns, out_stride_column)
            tl.store(pointers, gradient.to(out.dtype.element_ty), mask=present)
    else:
        # Nothing flows through this row: it is not read, so that what it holds (NaN, too) stays out of the gradient.
        for start in range(0, vocabulary, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            pointers = columns_pointer(out_start, columns, out_stride_column)
            tl.store(pointers, tl.zeros([BLOCK], out.dtype.element_ty), mask=columns < vocabulary)
