# pyright: reportMissingImports=false, reportIndexIssue=false
"""The one-pass head as cuBLAS products of chunks with Triton kernels between them.

A chunk's logits pass by as fp32 blocks; what stays of them is 2^(logit - maximum of its block) in the operands' type.
Once the slopes are known these become the gradient in place. An entry other than the target's is rounded twice on its
way (2.3e-3 against 1.7e-3 relative L2 of the gradient in bf16); the target's own comes from its fp32 log-prob.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.linear_logprobs import triton as two_steps
from urt_kernels.linear_logprobs.chunks import rounded_up, spans
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.linear_logprobs.products import Sums, product
from urt_kernels.linear_logprobs.triton import ALIGNMENT, Block, Statistics, chunk_of
from urt_kernels.logprobs.triton import INVERSE_LN_2, LN_2, LOWEST, minus_expm1
from urt_kernels.one_pass.op import Pass
from urt_kernels.one_pass.plan import parts
from urt_kernels.one_pass.reference import with_second_pass
from urt_kernels.policy_loss.objective import Tokens, slopes
from urt_kernels.policy_loss.result import GRPOSettings
from urt_kernels.tuning import HEIGHT_STEP, backward_blocks, cover, one_pass


def forward(
    hidden: Tensor, head: Head, targets: Tensor, tokens: Tokens, settings: GRPOSettings, options: Pass
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """(loss, log-probs, entropies, top-1 matches, gradients by hidden, weight and bias)."""
    num_rows, vocabulary = len(hidden), len(head.weight)
    operand = head.operand_dtype(hidden)
    plan = one_pass(vocabulary, operand.itemsize, trains_weight=options.needs[1])
    chunks = parts(tokens, together=options.together, largest=plan.rows, step=HEIGHT_STEP)
    if chunks is None:
        return with_second_pass(two_steps, hidden, head, targets, tokens, settings, options)
    statistics = Statistics(num_rows, vocabulary, plan.columns, hidden, entropy=options.entropy)
    sums = Sums(hidden, head, options.needs, into=options.weight_grad)
    workspace = Block([rows for rows, _ in chunks], plan.columns, hidden)
    kept = Block([rows for rows, _ in chunks] if options.differentiates else [], vocabulary, hidden, dtype=operand)
    blocks = list(spans(vocabulary, plan.columns))
    loss = statistics.lse.new_zeros(())
    targets = targets.contiguous()
    with on_device(hidden):
        for rows, constants in chunks:
            chunk, part = chunk_of(hidden, rows, operand), head.of_rows(rows)
            exponentials = kept.view(len(chunk), vocabulary) if options.differentiates else None
            maxima = statistics.lse.new_empty(len(blocks), len(chunk))
            for index, columns in enumerate(blocks):
                logits = workspace.view(len(chunk), columns.stop - columns.start)
                product(chunk, head.weight[columns].to(operand).T, out=logits)
                statistics.add(logits, part, targets, rows, columns, exponentials=exponentials, maxima=maxima[index])
            found = slopes(
                statistics.logprobs[rows],
                statistics.entropies[rows] if options.entropy else None,
                constants,
                settings,
                differentiate=options.differentiates,
            )
            loss += found.loss
            if exponentials is None:
                continue
            _gradient(
                exponentials,
                maxima,
                part,
                targets,
                rows,
                statistics,
                found.policy,
                found.entropy,
                options,
                plan.columns,
            )
            sums.add(exponentials, rows, slice(0, vocabulary), chunk, head.weight.to(operand))
            sums.end_of_chunk(rows)
    gradients = sums.finish(weight_dtype=torch.float32, bias_dtype=torch.float32)
    return loss, statistics.logprobs, statistics.entropies, statistics.top1, gradients


def _gradient(
    exponentials: Tensor,
    maxima: Tensor,
    head: Head,
    targets: Tensor,
    rows: slice,
    statistics: Statistics,
    slope_policy: Tensor,
    slope_entropy: Tensor | None,
    options: Pass,
    columns_per_maximum: int,
) -> None:
    """Turn the exponentials of a chunk into the gradient, in place."""
    num_rows, vocabulary = exponentials.shape
    tiles = backward_blocks(columns_per_maximum)
    num_tiles = cover(rounded_up(vocabulary, ALIGNMENT), tiles.block)
    exponentials_gradient_kernel[(num_rows * num_tiles,)](
        exponentials,
        maxima,
        head.temperatures,
        targets[rows],
        slope_policy * options.assumed,
        None if slope_entropy is None else slope_entropy * options.assumed,
        statistics.logprobs[rows],
        statistics.entropies[rows] if slope_entropy is not None else None,
        statistics.lse[rows],
        rows.stop - rows.start,
        num_rows,
        exponentials.stride(0),
        columns_per_maximum,
        num_tiles,
        (1.0 if head.softcap else head.logit_scale) / head.temperature,
        head.logit_scale,
        head.softcap or 0.0,
        WITH_ENTROPY=slope_entropy is not None,
        WITH_TEMPERATURES=head.temperatures is not None,
        WITH_SOFTCAP=head.softcap is not None,
        BLOCK=tiles.block,
        num_warps=tiles.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
    )


@triton.jit
@no_type_check
def exponentials_gradient_kernel(
    exponentials,
    maxima,
    temperatures,
    targets,
    slope_policy,
    slope_entropy,
    logprobs,
    entropies,
    lse,
    num_rows,
    rows_per_maxima,
    stride,
    columns_per_maximum,
    num_tiles,
    scale,
    logit_scale,
    softcap,
    WITH_ENTROPY: tl.constexpr,
    WITH_TEMPERATURES: tl.constexpr,
    WITH_SOFTCAP: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Turn 2^(logit - maximum) into the gradient; rows from num_rows on are padding and get zeros."""
    row = tl.program_id(0) // num_tiles
    first = (tl.program_id(0) % num_tiles) * BLOCK
    columns = first + tl.arange(0, BLOCK)
    pointers = exponentials + row.to(tl.int64) * stride + columns
    real = row < num_rows
    grad_logprob = tl.load(slope_policy + row, mask=real, other=0.0)
    alive = grad_logprob != 0
    grad_entropy = 0.0
    if WITH_ENTROPY:
        grad_entropy = tl.load(slope_entropy + row, mask=real, other=0.0)
        alive = alive | (grad_entropy != 0)
    if alive:
        if WITH_TEMPERATURES:
            scale = scale / tl.load(temperatures + row).to(tl.float32)
        maximum = tl.load(maxima + (first // columns_per_maximum) * rows_per_maxima + row)
        row_lse = tl.load(lse + row)
        exponent = maximum - row_lse * INVERSE_LN_2
        kept = tl.load(pointers, mask=columns < stride, other=0.0).to(tl.float32)
        logprob = tl.load(logprobs + row)
        # The target's own entry from its fp32 log-prob: 1 - p of a rounded p near 1 would be all rounding.
        own = grad_logprob * minus_expm1(logprob)
        log_p = (tl.log2(kept) + exponent) * LN_2
        if WITH_ENTROPY:
            entropy = tl.load(entropies + row)
            factor = -grad_logprob - grad_entropy * (tl.maximum(log_p, LOWEST) + entropy)
            own -= grad_entropy * tl.exp2(logprob * INVERSE_LN_2) * (logprob + entropy)
            others = kept * (tl.exp2(exponent) * scale) * factor
        else:
            others = kept * (tl.exp2(exponent) * scale * -grad_logprob)
        is_target = columns == tl.load(targets + row)
        gradient = tl.where(is_target, own * scale, others)
        if WITH_SOFTCAP:
            # z / softcap from ln p; an entry whose exponential is 0 has no gradient whatever its slope.
            capped = (tl.where(is_target, logprob, log_p) + row_lse) / (scale * softcap)
            slope = logit_scale * (1.0 - capped * capped)
            gradient = tl.where((kept > 0) | is_target, gradient * slope, 0.0)
        # Behind the vocabulary, what no product reads: the columns up to the stride.
        tl.store(pointers, gradient.to(exponentials.dtype.element_ty), mask=columns < stride)
    else:
        tl.store(pointers, tl.zeros([BLOCK], exponentials.dtype.element_ty), mask=columns < stride)
