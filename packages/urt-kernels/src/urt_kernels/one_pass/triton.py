# pyright: reportMissingImports=false, reportIndexIssue=false
"""The one-pass head as cuBLAS products of chunks with Triton kernels between them.

A chunk's logits pass by as fp32 blocks; what stays of them is 2^(logit - maximum of its block) in the operands' type.
Once the slopes are known these become the gradient in place. An entry other than the target's is rounded twice on its
way (2.3e-3 against 1.7e-3 relative L2 of the gradient in bf16); the target's own comes from its fp32 log-prob.
"""

from typing import NamedTuple, no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.linear_logprobs import triton as two_steps
from urt_kernels.linear_logprobs.chunks import rounded_up, spans
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.linear_logprobs.products import ALIGNMENT, Block, Sums, product
from urt_kernels.linear_logprobs.triton import Statistics, chunk_of
from urt_kernels.logprobs.triton import INVERSE_LN_2, LN_2, minus_expm1, quick_log2
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.one_pass.held import Held
from urt_kernels.one_pass.op import Pass
from urt_kernels.one_pass.plan import parts
from urt_kernels.one_pass.second_pass import upstream_of, with_second_pass
from urt_kernels.policy_loss.objective import Tokens, slopes
from urt_kernels.policy_loss.settings import GRPOSettings
from urt_kernels.tuning import HEIGHT_STEP, backward_blocks, cover, one_pass


def forward(
    hidden: Tensor, head: Head, targets: Tensor, tokens: Tokens, settings: GRPOSettings, options: Pass, held: Held
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """(loss, log-probs, entropies, top-1 matches, gradients by hidden, weight and bias)."""
    operand = head.operand_dtype(hidden)
    learns = options.needs[1]
    plan = one_pass(held.widest, operand.itemsize, trains_weight=learns)
    chunks = parts(tokens, together=options.together, largest=plan.rows, step=HEIGHT_STEP)
    most = held.most_chunks(None if chunks is None else len(chunks))
    if chunks is None or most is None:
        return with_second_pass(two_steps, hidden, head, targets, tokens, settings, options, held)
    heights = [rows for rows, _ in chunks]
    statistics = Statistics(len(hidden), plan.columns, hidden, entropy=options.entropy)
    own_needs = (options.needs[0], learns and held.sums_here, options.needs[2])
    sums = Sums(hidden, head, own_needs, into=options.weight_grad if held.sums_here else None)
    workspace = Block(heights, plan.columns, hidden)
    kept: list[Block] = []
    loss = statistics.lse.new_zeros(())
    targets = targets.contiguous()
    with on_device(hidden):
        for rows, constants in chunks:
            chunk, part = chunk_of(hidden, rows, operand), head.of_rows(rows)
            exponentials: list[Exponentials] = []
            walked = 0
            for index, (first, weight) in enumerate(held.parts()):
                if options.differentiates and len(kept) == index:
                    kept.append(Block(heights, len(weight), hidden, dtype=operand))
                own = Exponentials.of(kept, index, first, weight, chunk, plan.columns)
                exponentials.append(own)
                for number, columns in enumerate(spans(len(weight), plan.columns)):
                    width = columns.stop - columns.start
                    logits = workspace.view(len(chunk), width)
                    product(chunk, weight[columns].to(operand).T, out=logits)
                    statistics.add(
                        logits,
                        part,
                        targets,
                        rows,
                        slice(first + columns.start, first + columns.stop),
                        exponentials=None if own.values is None else own.values[:, columns],
                        maxima=own.maxima[number],
                        begins=walked == 0,
                        ends=walked + width == held.vocabulary,
                    )
                    walked += width
            own_rows = statistics.of_rows(rows)
            found = held.whole_rows(own_rows, targets[rows])
            if found is not own_rows:
                statistics.put(rows, found)
            entropies = found.entropies if options.entropy else None
            slope = slopes(found.logprobs, entropies, constants, settings, differentiate=options.differentiates)
            loss += slope.loss
            if not options.differentiates:
                continue
            upstream = upstream_of(slope, found, targets[rows], options)
            for own, (first, weight) in zip(exponentials, held.parts(learns=learns), strict=True):
                gradient = own.gradient(part, upstream, rows, plan.columns)
                columns = slice(first, first + len(weight))
                sums.add(gradient, rows, columns, chunk, weight.to(operand))
                if learns:
                    held.add(gradient, chunk)
            if sums.chunk is not None:
                held.sum_(sums.chunk)
            sums.end_of_chunk(rows)
    for _ in range(most - len(chunks)):
        held.idle(differentiates=options.differentiates, learns=learns)
    by_hidden, by_weight, by_bias = sums.finish(weight_dtype=torch.float32, bias_dtype=torch.float32)
    outputs = (statistics.logprobs, statistics.entropies, statistics.top1)
    return loss, *outputs, (by_hidden, held.gradient(by_weight), by_bias)


class Exponentials(NamedTuple):
    """What is kept of a chunk's logits over one part of the vocabulary.

    >>> Exponentials.of(kept, 0, 0, weight, chunk, 2048).gradient(head, upstream, slice(0, 100), 2048)
    """

    first: int
    """Column of the head that the part begins with."""
    values: Tensor | None
    """2^(logit - maximum of its block) ``[n, width]``; None where there is no gradient to form."""
    maxima: Tensor
    """``[blocks, n]``."""

    @classmethod
    def of(
        cls, kept: list[Block], index: int, first: int, weight: Tensor, chunk: Tensor, columns: int
    ) -> "Exponentials":
        maxima = torch.empty(cover(len(weight), columns), len(chunk), dtype=torch.float32, device=chunk.device)
        return cls(first, kept[index].view(len(chunk), len(weight)) if kept else None, maxima)

    def gradient(self, head: Head, upstream: Upstream, rows: slice, columns_per_maximum: int) -> Tensor:
        """Turn them into the gradient, in place."""
        assert self.values is not None
        num_rows, vocabulary = self.values.shape
        tiles = backward_blocks(columns_per_maximum)
        num_tiles = cover(rounded_up(vocabulary, ALIGNMENT), tiles.block)
        with_entropy = upstream.grad_entropies is not None
        exponentials_gradient_kernel[(num_rows * num_tiles,)](
            self.values,
            self.maxima,
            head.temperatures,
            upstream.targets - self.first if self.first else upstream.targets,
            upstream.grad_logprobs,
            upstream.grad_entropies,
            upstream.logprobs,
            upstream.entropies if with_entropy else None,
            upstream.lse,
            rows.stop - rows.start,
            num_rows,
            self.values.stride(0),
            columns_per_maximum,
            num_tiles,
            (1.0 if head.softcap else head.logit_scale) / head.temperature,
            head.logit_scale,
            head.softcap or 0.0,
            WITH_ENTROPY=with_entropy,
            WITH_TEMPERATURES=head.temperatures is not None,
            WITH_SOFTCAP=head.softcap is not None,
            BLOCK=tiles.block,
            num_warps=tiles.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
        )
        return self.values


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
        if WITH_ENTROPY or WITH_SOFTCAP:
            log_kept = quick_log2(kept)
        if WITH_ENTROPY:
            entropy = tl.load(entropies + row)
            # - g_lp - g_H (ln p + H), with ln p = ln 2 (log2 kept + exponent): one multiplication an entry.
            factor = -grad_logprob - grad_entropy * (exponent * LN_2 + entropy) - (grad_entropy * LN_2) * log_kept
            own -= grad_entropy * tl.exp2(logprob * INVERSE_LN_2) * (logprob + entropy)
            others = kept * (tl.exp2(exponent) * scale) * factor
        else:
            others = kept * (tl.exp2(exponent) * scale * -grad_logprob)
        is_target = columns == tl.load(targets + row)
        gradient = tl.where(is_target, own * scale, others)
        if WITH_SOFTCAP:
            # z / softcap from ln p; an entry whose exponential is 0 has no gradient whatever its slope.
            log_p = (log_kept + exponent) * LN_2
            capped = (tl.where(is_target, logprob, log_p) + row_lse) / (scale * softcap)
            slope = logit_scale * (1.0 - capped * capped)
            gradient = tl.where((kept > 0) | is_target, gradient * slope, 0.0)
        # Behind the vocabulary, what no product reads: the columns up to the stride.
        tl.store(pointers, gradient.to(exponentials.dtype.element_ty), mask=columns < stride)
    else:
        tl.store(pointers, tl.zeros([BLOCK], exponentials.dtype.element_ty), mask=columns < stride)
