# pyright: reportMissingImports=false, reportIndexIssue=false
"""token_logprobs in Triton: one pass over the logits forward, one pass backward, fp32 throughout.

Exponentials are in base 2: with c = log2(e) / temperature, softmax is 2^(c z - m) / sum, which folds the temperature into a
multiplication that is needed anyway. ``no_type_check`` keeps run-time type checkers away from code that Triton compiles.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.rows import row_layout
from urt_kernels.token_logprobs.result import IGNORE_TARGET
from urt_kernels.tuning import backward_blocks, cover, forward_blocks

LOG2_E = 1.4426950408889634
LN_2 = tl.constexpr(0.6931471805599453)
INVERSE_LN_2 = tl.constexpr(LOG2_E)
# Finite stand-in for -inf: it starts the running maximum, and keeps 0 * log 0 at 0.
LOWEST = tl.constexpr(-1e30)
IGNORE = tl.constexpr(IGNORE_TARGET)


def forward(
    logits: Tensor, targets: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    logprobs = torch.empty(targets.shape, dtype=torch.float32, device=logits.device)
    entropies = torch.empty_like(logprobs) if entropy else logprobs.new_empty(0)
    top1 = torch.empty_like(logprobs, dtype=torch.bool)
    lse = torch.empty_like(logprobs)
    vocabulary = logits.shape[-1]
    blocks = forward_blocks(vocabulary)
    layout = row_layout(logits)
    if layout is None:
        return forward(logits.contiguous(), targets, temperature, entropy)
    if targets.numel() > 0:
        with on_device(logits):
            forward_kernel[(targets.numel(),)](
                logits,
                targets.contiguous(),
                logprobs,
                entropies,
                top1,
                lse,
                vocabulary,
                *layout,
                LOG2_E / temperature,
                WITH_ENTROPY=entropy,
                BLOCK=blocks.block,
                num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
            )
    return logprobs, entropies, top1, lse


def backward(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    logits: Tensor,
    targets: Tensor,
    entropies: Tensor,
    lse: Tensor,
    temperature: float,
    out: Tensor,
) -> None:
    """Write d loss / d logits into ``out``, which may be ``logits`` itself."""
    if targets.numel() == 0:
        return
    vocabulary = logits.shape[-1]
    blocks = backward_blocks(vocabulary)
    layout, out_layout = row_layout(logits), row_layout(out)
    if layout is None or out_layout is None:
        copy = logits.contiguous()
        backward(grad_logprobs, grad_entropy, grad_lse, copy, targets, entropies, lse, temperature, copy)
        out.copy_(copy)
        return
    num_blocks = cover(vocabulary, blocks.block)
    with on_device(logits):
        backward_kernel[(targets.numel() * num_blocks,)](
            grad_logprobs.contiguous(),
            None if grad_entropy is None else grad_entropy.contiguous(),
            grad_lse.contiguous(),
            logits,
            targets.contiguous(),
            entropies,
            lse,
            out,
            vocabulary,
            num_blocks,
            *layout,
            *out_layout,
            1.0 / temperature,
            WITH_ENTROPY=grad_entropy is not None,
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
    """Fold scaled values (base 2, -inf where absent) into the running maximum and the per-lane sums; also 2^(value - maximum).

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
    values, columns, target, grad_logprob, grad_entropy, grad_lse, entropy, lse, inverse_temperature, WITH_ENTROPY
):
    """The gradient of token_logprobs.reference.backward for one block of logits."""
    log_p = values * inverse_temperature - lse
    p = tl.exp2(log_p * INVERSE_LN_2)
    factor = grad_lse - grad_logprob
    if WITH_ENTROPY:
        factor = factor - grad_entropy * (tl.maximum(log_p, LOWEST) + entropy)
    return (p * factor + tl.where(columns == target, grad_logprob, 0.0)) * inverse_temperature


@triton.jit
@no_type_check
def backward_kernel(
    grad_logprobs,
    grad_entropies,
    grad_lse,
    logits,
    targets,
    entropies,
    lse,
    out,
    vocabulary,
    num_blocks,
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
    BLOCK: tl.constexpr,
):
    row = tl.program_id(0) // num_blocks
    columns = (tl.program_id(0) % num_blocks) * BLOCK + tl.arange(0, BLOCK)
    present = columns < vocabulary
    out_start = row_pointer(out, row, out_rows_per_outer, out_stride_outer, out_stride_inner)
    out_pointers = columns_pointer(out_start, columns, out_stride_column)
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
        row_start = row_pointer(logits, row, rows_per_outer, stride_outer, stride_inner)
        pointers = columns_pointer(row_start, columns, stride_column)
        values = tl.load(pointers, mask=present, other=0.0).to(tl.float32)
        gradient = logits_gradient(
            values,
            columns,
            target,
            grad_logprob,
            grad_entropy,
            upstream_lse,
            entropy,
            tl.load(lse + row),
            inverse_temperature,
            WITH_ENTROPY,
        )
        tl.store(out_pointers, gradient.to(out.dtype.element_ty), mask=present)
    else:
        # Nothing flows through this row: it is not read, so that what it holds (NaN, too) stays out of the gradient.
        tl.store(out_pointers, tl.zeros([BLOCK], out.dtype.element_ty), mask=present)
