# pyright: reportMissingImports=false, reportIndexIssue=false
"""linear_token_logprobs as cuBLAS products of fixed-size chunks with Triton kernels between them.

Logits exist as one fp32 block at a time, in the L2 cache as far as it goes. No atomics: a row's statistics are merged in the
order of the vocabulary, weight gradients in the order of the chunks.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.linear_logprobs.chunks import padded, spans
from urt_kernels.linear_logprobs.products import add_product, product
from urt_kernels.token_logprobs.triton import IGNORE, LN_2, LOG2_E, LOWEST, logits_gradient, merge_block
from urt_kernels.tuning import backward_blocks, chunked_backward, chunked_forward, cover, statistics_blocks


def forward(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    num_rows, vocabulary = len(hidden), len(weight)
    plan = chunked_forward(vocabulary, hidden.element_size())
    logprobs, lse, total = (torch.empty(num_rows, dtype=torch.float32, device=hidden.device) for _ in range(3))
    entropies = torch.empty_like(lse) if entropy else lse.new_empty(0)
    top1 = torch.empty_like(lse, dtype=torch.bool)
    workspace = lse.new_empty(plan.rows * plan.columns if num_rows else 0)
    blocks = statistics_blocks(plan.columns)
    chunks = [(rows, padded(hidden[rows], plan.rows)) for rows in spans(num_rows, plan.rows)]
    targets = targets.contiguous()
    with on_device(hidden):
        # The vocabulary is the outer loop: each block of the weight is read from memory once.
        for columns in spans(vocabulary, plan.columns):
            width = columns.stop - columns.start
            logits = workspace[: plan.rows * width].view(-1, width)
            for rows, chunk in chunks:
                product(chunk, weight[columns].T, out=logits)
                statistics_kernel[(rows.stop - rows.start,)](
                    logits,
                    None if bias is None else bias[columns],
                    targets[rows],
                    logprobs[rows],
                    lse[rows],
                    total[rows],
                    entropies[rows] if entropy else None,
                    top1[rows],
                    None,
                    None,
                    width,
                    columns.start,
                    vocabulary,
                    LOG2_E / temperature,
                    FIRST=columns.start == 0,
                    LAST=columns.stop == vocabulary,
                    WITH_ENTROPY=entropy,
                    WITH_BIAS=bias is not None,
                    KEEP=False,
                    BLOCK=blocks.block,
                    num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
                )
    return logprobs, entropies, top1, lse


def backward(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    entropies: Tensor,
    lse: Tensor,
    temperature: float,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of hidden, weight and bias; an empty tensor for each that ``needs`` leaves out."""
    needs_hidden, needs_weight, needs_bias = needs
    num_rows, vocabulary = len(hidden), len(weight)
    plan = chunked_backward(vocabulary)
    # A gradient need not have the same bits in every batch: a small one is not padded to a whole chunk.
    height = min(plan.rows, cover(max(1, num_rows), 128) * 128)
    grad_hidden = hidden.new_empty(hidden.shape if needs_hidden else 0)
    sum_weight = lse.new_zeros(weight.shape if needs_weight else 0)
    sum_bias = lse.new_zeros(vocabulary if needs_bias else 0)
    logits_space = lse.new_empty(height * plan.columns)
    # dz takes the operands' type, in which the two products below are fast; fp32 operands need no second buffer.
    gradient_space = (
        logits_space if hidden.dtype == torch.float32 else torch.empty_like(logits_space, dtype=hidden.dtype)
    )
    blocks = backward_blocks(plan.columns)
    grad_logprobs, grad_lse = grad_logprobs.contiguous(), grad_lse.contiguous()
    grad_entropy = None if grad_entropy is None else grad_entropy.contiguous()
    with on_device(hidden):
        for rows in spans(num_rows, height):
            chunk = padded(hidden[rows], height)
            grad_chunk = torch.zeros_like(chunk, dtype=torch.float32)
            for columns in spans(vocabulary, plan.columns):
                width = columns.stop - columns.start
                logits = logits_space[: height * width].view(-1, width)
                gradient = gradient_space[: height * width].view(-1, width)
                product(chunk, weight[columns].T, out=logits)
                num_blocks = cover(width, blocks.block)
                gradient_kernel[(height * num_blocks,)](
                    logits,
                    None if bias is None else bias[columns],
                    targets[rows],
                    grad_logprobs[rows],
                    None if grad_entropy is None else grad_entropy[rows],
                    grad_lse[rows],
                    entropies[rows] if grad_entropy is not None else None,
                    lse[rows],
                    gradient,
                    rows.stop - rows.start,
                    width,
                    columns.start,
                    num_blocks,
                    1.0 / temperature,
                    WITH_ENTROPY=grad_entropy is not None,
                    WITH_BIAS=bias is not None,
                    BLOCK=blocks.block,
                    num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
                )
                if needs_hidden:
                    add_product(grad_chunk, gradient, weight[columns])
                if needs_weight:
                    add_product(sum_weight[columns], gradient.T, chunk)
                if needs_bias:
                    sum_bias[columns] += gradient.sum(0, dtype=torch.float32)
            if needs_hidden:
                grad_hidden[rows] = grad_chunk[: rows.stop - rows.start].to(hidden.dtype)
    return grad_hidden, sum_weight.to(weight.dtype), sum_bias.to(torch.float32 if bias is None else bias.dtype)


@triton.jit
@no_type_check
def statistics_kernel(
    logits,
    bias,
    targets,
    logprobs,
    lse,
    total,
    entropies,
    top1,
    exponentials,
    maxima,
    width,
    first_column,
    vocabulary,
    scale,
    FIRST: tl.constexpr,
    LAST: tl.constexpr,
    WITH_ENTROPY: tl.constexpr,
    WITH_BIAS: tl.constexpr,
    KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Merge one block of logits into the rows' running statistics.

    Until the last block, logprobs holds the target's logit, lse the maximum and entropies the weighted sum (all in base 2).
    With KEEP, which needs BLOCK to span the width, 2^(logit - maximum) is left for the one-pass gradient.
    """
    row = tl.program_id(0)
    target = tl.load(targets + row).to(tl.int64)
    if target == IGNORE:
        if LAST:
            tl.store(logprobs + row, 0.0)
            tl.store(lse + row, 0.0)
            tl.store(top1 + row, False)
            if WITH_ENTROPY:
                tl.store(entropies + row, 0.0)
    else:
        if FIRST:
            highest = LOWEST
            earlier_total = 0.0
            earlier_weighted = 0.0
            # A target outside the vocabulary leaves NaN in its row.
            chosen = float("nan")
        else:
            highest = tl.load(lse + row)
            earlier_total = tl.load(total + row)
            earlier_weighted = 0.0
            if WITH_ENTROPY:
                earlier_weighted = tl.load(entropies + row)
            chosen = tl.load(logprobs + row)
        row_start = logits + row.to(tl.int64) * width
        earlier_highest = highest
        block_total = tl.zeros([BLOCK], tl.float32)
        block_weighted = tl.zeros([BLOCK], tl.float32)
        for start in range(0, width, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            present = columns < width
            values = tl.load(row_start + columns, mask=present, other=float("-inf"))
            if WITH_BIAS:
                values += tl.load(bias + columns, mask=present, other=0.0).to(tl.float32)
            highest, block_total, block_weighted, weights = merge_block(
                values * scale, highest, block_total, block_weighted, WITH_ENTROPY
            )
            if KEEP:
                kept = exponentials + row.to(tl.int64) * vocabulary + first_column + columns
                tl.store(kept, weights.to(exponentials.dtype.element_ty), mask=present)
        if KEEP:
            tl.store(maxima + row, highest)
        shift = earlier_highest - highest
        rescale = tl.exp2(shift)
        row_total = earlier_total * rescale + tl.sum(block_total, 0)
        row_weighted = 0.0
        if WITH_ENTROPY:
            row_weighted = (earlier_weighted + shift * earlier_total) * rescale + tl.sum(block_weighted, 0)
        local = target - first_column
        if (local >= 0) & (local < width):
            chosen = tl.load(row_start + local)
            if WITH_BIAS:
                chosen += tl.load(bias + local).to(tl.float32)
            chosen = chosen * scale
        if LAST:
            log_total = tl.log2(row_total)
            tl.store(logprobs + row, ((chosen - highest) - log_total) * LN_2)
            tl.store(lse + row, (highest + log_total) * LN_2)
            tl.store(top1 + row, (chosen >= highest) & (row_total == row_total))
            if WITH_ENTROPY:
                tl.store(entropies + row, (log_total - row_weighted / row_total) * LN_2)
        else:
            tl.store(logprobs + row, chosen)
            tl.store(lse + row, highest)
            tl.store(total + row, row_total)
            if WITH_ENTROPY:
                tl.store(entropies + row, row_weighted)


@triton.jit
@no_type_check
def gradient_kernel(
    logits,
    bias,
    targets,
    grad_logprobs,
    grad_entropies,
    grad_lse,
    entropies,
    lse,
    gradient,
    num_rows,
    width,
    first_column,
    num_blocks,
    inverse_temperature,
    WITH_ENTROPY: tl.constexpr,
    WITH_BIAS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of one block of logits; rows from num_rows on are padding and get zeros."""
    row = tl.program_id(0) // num_blocks
    columns = (tl.program_id(0) % num_blocks) * BLOCK + tl.arange(0, BLOCK)
    present = columns < width
    offset = row.to(tl.int64) * width
    real = row < num_rows
    target = tl.load(targets + row, mask=real, other=IGNORE).to(tl.int64)
    grad_logprob = tl.load(grad_logprobs + row, mask=real, other=0.0).to(tl.float32)
    upstream_lse = tl.load(grad_lse + row, mask=real, other=0.0).to(tl.float32)
    grad_entropy = 0.0
    entropy = 0.0
    alive = (grad_logprob != 0) | (upstream_lse != 0)
    if WITH_ENTROPY:
        grad_entropy = tl.load(grad_entropies + row, mask=real, other=0.0).to(tl.float32)
        entropy = tl.load(entropies + row, mask=real, other=0.0)
        alive = alive | (grad_entropy != 0)
    if (target != IGNORE) & alive:
        values = tl.load(logits + offset + columns, mask=present, other=0.0)
        if WITH_BIAS:
            values += tl.load(bias + columns, mask=present, other=0.0).to(tl.float32)
        result = logits_gradient(
            values,
            first_column + columns,
            target,
            grad_logprob,
            grad_entropy,
            upstream_lse,
            entropy,
            tl.load(lse + row),
            inverse_temperature,
            WITH_ENTROPY,
        )
        tl.store(gradient + offset + columns, result.to(gradient.dtype.element_ty), mask=present)
    else:
        tl.store(gradient + offset + columns, tl.zeros([BLOCK], gradient.dtype.element_ty), mask=present)
