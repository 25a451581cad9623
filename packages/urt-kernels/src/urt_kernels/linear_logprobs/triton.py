# pyright: reportMissingImports=false, reportIndexIssue=false
"""linear_token_logprobs as cuBLAS products of fixed-size chunks with Triton kernels between them.

Logits exist as one fp32 block at a time, in the L2 cache as far as it goes. No atomics: a row's statistics are merged
in the order of the vocabulary, weight gradients in the order of the chunks.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.linear_logprobs.chunks import balanced, padded, rounded_up, spans
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.linear_logprobs.products import Block, Sums, product
from urt_kernels.linear_logprobs.running import RowStatistics
from urt_kernels.logprobs.triton import IGNORE, INVERSE_LN_2, LN_2, LOG2_E, LOWEST, logits_gradient, merge_block
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.tuning import HEIGHT_STEP, backward_blocks, chunked_backward, chunked_forward, cover, statistics_blocks


def forward(hidden: Tensor, head: Head, targets: Tensor, entropy: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return statistics(hidden, head, targets, entropy)[:4]


def statistics(hidden: Tensor, head: Head, targets: Tensor, entropy: bool) -> RowStatistics:
    num_rows, vocabulary = len(hidden), len(head.weight)
    plan = chunked_forward(vocabulary)
    rows_of_chunks = list(balanced(num_rows, plan.rows, step=HEIGHT_STEP))
    found = Statistics(num_rows, plan.columns, hidden, entropy=entropy)
    operand = head.operand_dtype(hidden)
    workspace = Block(rows_of_chunks, plan.columns, hidden)
    chunks = [(rows, chunk_of(hidden, rows, operand)) for rows in rows_of_chunks]
    targets = targets.contiguous()
    with on_device(hidden):
        # The vocabulary is the outer loop: each block of the weight is read from memory as few times as may be.
        for columns in spans(vocabulary, plan.columns):
            weight = head.weight[columns].to(operand)
            for rows, chunk in chunks:
                logits = workspace.view(len(chunk), len(weight))
                product(chunk, weight.T, out=logits)
                part, ends = head.of_rows(rows), columns.stop == vocabulary
                found.add(logits, part, targets, rows, columns, begins=columns.start == 0, ends=ends)
    return found.result()


def chunk_of(hidden: Tensor, rows: slice, operand: torch.dtype) -> Tensor:
    """Hidden states as the products take them, padded to a height that products have."""
    return padded(hidden[rows].to(operand), rounded_up(rows.stop - rows.start, HEIGHT_STEP))


class Statistics:
    """The rows' running statistics while blocks of logits go by.

    >>> statistics = Statistics(num_rows, 2048, hidden, entropy=True)
    >>> statistics.add(logits, head, targets, rows, slice(0, 2048), begins=True, ends=False)
    """

    def __init__(self, num_rows: int, columns: int, like: Tensor, *, entropy: bool) -> None:
        self.logprobs, self.lse, self.total = (
            torch.empty(num_rows, dtype=torch.float32, device=like.device) for _ in range(3)
        )
        self.entropies = torch.empty_like(self.lse) if entropy else self.lse.new_empty(0)
        self.top1 = torch.empty_like(self.lse, dtype=torch.bool)
        self.entropy, self.blocks = entropy, statistics_blocks(columns)

    def add(
        self,
        logits: Tensor,
        head: Head,
        targets: Tensor,
        rows: slice,
        columns: slice,
        *,
        exponentials: Tensor | None = None,
        maxima: Tensor | None = None,
        begins: bool,
        ends: bool,
    ) -> None:
        """``head`` has the temperatures of these rows; 2^(logit - maximum) of the block is kept in ``exponentials``.
        The first and the last block that the rows see are told by ``begins`` and ``ends``."""
        bias, allowed, scale = head.bias, head.allowed, head.logit_scale
        statistics_kernel[(rows.stop - rows.start,)](
            logits,
            None if bias is None else bias[columns],
            None if allowed is None else allowed[:, columns],
            head.temperatures,
            targets[rows],
            self.logprobs[rows],
            self.lse[rows],
            self.total[rows],
            self.entropies[rows] if self.entropy else None,
            self.top1[rows],
            exponentials,
            maxima,
            columns.stop - columns.start,
            logits.stride(0),
            columns.start,
            0 if exponentials is None else exponentials.stride(0),
            0 if allowed is None else allowed.stride(0),
            LOG2_E * (1.0 if head.softcap else scale) / head.temperature,
            scale / (head.softcap or 1.0),
            head.softcap or 0.0,
            FIRST=begins,
            LAST=ends,
            WITH_ENTROPY=self.entropy,
            WITH_BIAS=bias is not None,
            WITH_ALLOWED=allowed is not None,
            WITH_TEMPERATURES=head.temperatures is not None,
            WITH_SOFTCAP=head.softcap is not None,
            KEEP=exponentials is not None,
            BLOCK=self.blocks.block,
            num_warps=self.blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
        )

    def of_rows(self, rows: slice) -> RowStatistics:
        return RowStatistics(*(values[rows] for values in self.result()))

    def put(self, rows: slice, found: RowStatistics) -> None:
        """In place of what the blocks said, where other parts of the vocabulary are elsewhere."""
        for values, own in zip(self.result(), found, strict=True):
            values[rows] = own

    def result(self) -> RowStatistics:
        return RowStatistics(self.logprobs, self.entropies, self.top1, self.lse, self.total)


def backward(
    upstream: Upstream, hidden: Tensor, head: Head, needs: tuple[bool, bool, bool], *, into: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Gradients of hidden, weight and bias; an empty tensor for each that ``needs`` leaves out."""
    num_rows, vocabulary = len(hidden), len(head.weight)
    plan = chunked_backward(vocabulary)
    rows_of_chunks = list(balanced(num_rows, plan.rows, step=HEIGHT_STEP))
    operand = head.operand_dtype(hidden)
    workspace = Block(rows_of_chunks, plan.columns, hidden)
    # dz takes the operands' type, in which the two products below are fast; fp32 operands need no second buffer.
    gradients = workspace if operand == torch.float32 else Block(rows_of_chunks, plan.columns, hidden, dtype=operand)
    blocks = backward_blocks(plan.columns)
    upstream = Upstream(*(None if each is None else each.contiguous() for each in upstream))  # pyright: ignore[reportArgumentType]
    with_entropy, scale = upstream.grad_entropies is not None, head.logit_scale
    sums = Sums(hidden, head, needs, into=into)
    with on_device(hidden):
        for rows in rows_of_chunks:
            chunk, part, known = chunk_of(hidden, rows, operand), head.of_rows(rows), upstream.of_rows(rows)
            for columns in spans(vocabulary, plan.columns):
                weight = head.weight[columns].to(operand)
                width = len(weight)
                logits, gradient = workspace.view(len(chunk), width), gradients.view(len(chunk), width)
                product(chunk, weight.T, out=logits)
                num_blocks = cover(width, blocks.block)
                gradient_kernel[(len(chunk) * num_blocks,)](
                    logits,
                    None if head.bias is None else head.bias[columns],
                    None if part.allowed is None else part.allowed[:, columns],
                    part.temperatures,
                    known.targets,
                    known.logprobs,
                    known.grad_logprobs,
                    known.grad_entropies,
                    known.grad_lse,
                    known.entropies if with_entropy else None,
                    known.lse,
                    gradient,
                    rows.stop - rows.start,
                    width,
                    logits.stride(0),
                    columns.start,
                    num_blocks,
                    0 if part.allowed is None else part.allowed.stride(0),
                    (1.0 if head.softcap else scale) / head.temperature,
                    scale / (head.softcap or 1.0),
                    head.softcap or 0.0,
                    WITH_ENTROPY=with_entropy,
                    WITH_LSE=known.grad_lse is not None,
                    WITH_BIAS=head.bias is not None,
                    WITH_ALLOWED=part.allowed is not None,
                    WITH_TEMPERATURES=part.temperatures is not None,
                    WITH_SOFTCAP=head.softcap is not None,
                    BLOCK=blocks.block,
                    num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
                )
                sums.add(gradient, rows, columns, chunk, weight)
            sums.end_of_chunk(rows)
    bias_dtype = head.weight.dtype if head.bias is None else head.bias.dtype
    return sums.finish(weight_dtype=head.weight.dtype, bias_dtype=bias_dtype)


@triton.jit
@no_type_check
def soft_capped(values, inner_scale, softcap):
    # tanh(x) = 1 - 2 / (1 + e^2x), whose two ends are reached without overflow.
    return softcap * (1.0 - 2.0 / (1.0 + tl.exp2(values * (2.0 * inner_scale * INVERSE_LN_2))))


@triton.jit
@no_type_check
def statistics_kernel(
    logits,
    bias,
    allowed,
    temperatures,
    targets,
    logprobs,
    lse,
    total,
    entropies,
    top1,
    exponentials,
    maxima,
    width,
    stride,
    first_column,
    kept_stride,
    allowed_stride,
    scale,
    inner_scale,
    softcap,
    FIRST: tl.constexpr,
    LAST: tl.constexpr,
    WITH_ENTROPY: tl.constexpr,
    WITH_BIAS: tl.constexpr,
    WITH_ALLOWED: tl.constexpr,
    WITH_TEMPERATURES: tl.constexpr,
    WITH_SOFTCAP: tl.constexpr,
    KEEP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Merge one block of logits into the rows' running statistics.

    Until the last block, logprobs holds the target's logit, lse the maximum and entropies the weighted sum (all in base
    2); behind it, total holds the maximum. With KEEP, which needs BLOCK to span the width, 2^(logit - maximum) is left for the one-pass gradient.
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
        row_start = logits + row.to(tl.int64) * stride
        if WITH_TEMPERATURES:
            scale = scale / tl.load(temperatures + row).to(tl.float32)
        earlier_highest = highest
        block_total = tl.zeros([BLOCK], tl.float32)
        block_weighted = tl.zeros([BLOCK], tl.float32)
        for start in range(0, width, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            present = columns < width
            # Rows are aligned and padded to their stride, a multiple of 64: its loads are wide for every width.
            values = tl.load(row_start + columns, mask=columns < stride, other=0.0)
            if WITH_BIAS:
                values += tl.load(bias + columns, mask=present, other=0.0).to(tl.float32)
            if WITH_SOFTCAP:
                values = soft_capped(values, inner_scale, softcap)
            values = tl.where(present, values, float("-inf"))
            if WITH_ALLOWED:
                chosen_from = tl.load(allowed + row.to(tl.int64) * allowed_stride + columns, mask=present, other=0)
                values = tl.where(chosen_from != 0, values, float("-inf"))
            highest, block_total, block_weighted, weights = merge_block(
                values * scale, highest, block_total, block_weighted, WITH_ENTROPY
            )
            if KEEP:
                kept = exponentials + row.to(tl.int64) * kept_stride + columns
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
            if WITH_SOFTCAP:
                chosen = soft_capped(chosen, inner_scale, softcap)
            chosen = chosen * scale
            if WITH_ALLOWED:
                target_allowed = tl.load(allowed + row.to(tl.int64) * allowed_stride + local)
                chosen = tl.where(target_allowed != 0, chosen, float("-inf"))
        if LAST:
            log_total = tl.log2(row_total)
            tl.store(logprobs + row, ((chosen - highest) - log_total) * LN_2)
            tl.store(lse + row, (highest + log_total) * LN_2)
            tl.store(total + row, highest)
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
    allowed,
    temperatures,
    targets,
    logprobs,
    grad_logprobs,
    grad_entropies,
    grad_lse,
    entropies,
    lse,
    gradient,
    num_rows,
    width,
    stride,
    first_column,
    num_blocks,
    allowed_stride,
    scale,
    inner_scale,
    softcap,
    WITH_ENTROPY: tl.constexpr,
    WITH_LSE: tl.constexpr,
    WITH_BIAS: tl.constexpr,
    WITH_ALLOWED: tl.constexpr,
    WITH_TEMPERATURES: tl.constexpr,
    WITH_SOFTCAP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """The gradient of one block of logits; rows from num_rows on are padding and get zeros."""
    row = tl.program_id(0) // num_blocks
    columns = (tl.program_id(0) % num_blocks) * BLOCK + tl.arange(0, BLOCK)
    present = columns < width
    offset = row.to(tl.int64) * stride
    real = row < num_rows
    target = tl.load(targets + row, mask=real, other=IGNORE).to(tl.int64)
    grad_logprob = tl.load(grad_logprobs + row, mask=real, other=0.0).to(tl.float32)
    upstream_lse = 0.0
    grad_entropy = 0.0
    entropy = 0.0
    alive = grad_logprob != 0
    if WITH_LSE:
        upstream_lse = tl.load(grad_lse + row, mask=real, other=0.0).to(tl.float32)
        alive = alive | (upstream_lse != 0)
    if WITH_ENTROPY:
        grad_entropy = tl.load(grad_entropies + row, mask=real, other=0.0).to(tl.float32)
        entropy = tl.load(entropies + row, mask=real, other=0.0)
        alive = alive | (grad_entropy != 0)
    if (target != IGNORE) & alive:
        if WITH_TEMPERATURES:
            scale = scale / tl.load(temperatures + row).to(tl.float32)
        values = tl.load(logits + offset + columns, mask=columns < stride, other=0.0)
        if WITH_BIAS:
            values += tl.load(bias + columns, mask=present, other=0.0).to(tl.float32)
        if WITH_SOFTCAP:
            values = soft_capped(values, inner_scale, softcap)
        if WITH_ALLOWED:
            chosen_from = tl.load(allowed + row.to(tl.int64) * allowed_stride + columns, mask=present, other=0)
            values = tl.where(chosen_from != 0, values, float("-inf"))
        result = logits_gradient(
            values * scale - tl.load(lse + row),
            first_column + columns,
            target,
            tl.load(logprobs + row),
            grad_logprob,
            grad_entropy,
            upstream_lse,
            entropy,
            scale,
            WITH_ENTROPY,
        )
        if WITH_SOFTCAP:
            slope = inner_scale * softcap * (1.0 - values * values / (softcap * softcap))
            result = tl.where(values > LOWEST, result * slope, 0.0)
        # Behind the width, what nobody reads: the columns up to the stride.
        tl.store(gradient + offset + columns, result.to(gradient.dtype.element_ty), mask=columns < stride)
    else:
        tl.store(gradient + offset + columns, tl.zeros([BLOCK], gradient.dtype.element_ty), mask=columns < stride)
