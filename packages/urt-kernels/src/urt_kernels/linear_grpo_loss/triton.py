# pyright: reportMissingImports=false, reportIndexIssue=false
"""linear_grpo_loss as cuBLAS products of fixed-size chunks with Triton kernels between them.

A chunk's logits pass by as fp32 blocks; what stays of them is 2^(logit - maximum of its block) in the operands' type, which
loses nothing that rounding the gradient to that type for the next product would not lose. Once the log-probs are known these
become the gradient in place.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.grpo_loss import triton as grpo
from urt_kernels.grpo_loss.result import GRPOSettings
from urt_kernels.linear_grpo_loss.coefficients import Experience, coefficients, loss_of_batch
from urt_kernels.linear_logprobs.chunks import padded, spans
from urt_kernels.linear_logprobs.products import add_product, product
from urt_kernels.linear_logprobs.triton import statistics_kernel
from urt_kernels.token_logprobs.triton import INVERSE_LN_2, LOG2_E
from urt_kernels.tuning import backward_blocks, chunked_forward, cover, statistics_blocks


def forward(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float,
    experience: Experience,
    settings: GRPOSettings,
    needs: tuple[bool, bool, bool],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(loss, log-probs [B, T], metrics, and d loss / d hidden, weight, bias; an empty tensor for each not in ``needs``)."""
    needs_hidden, needs_weight, needs_bias = needs
    num_rows, vocabulary = len(hidden), len(weight)
    plan = chunked_forward(vocabulary, hidden.element_size())
    logprobs, lse, total = (torch.empty(num_rows, dtype=torch.float32, device=hidden.device) for _ in range(3))
    top1 = torch.empty_like(lse, dtype=torch.bool)
    grad_hidden = hidden.new_empty(hidden.shape if needs_hidden else 0)
    sum_weight = lse.new_zeros(weight.shape if needs_weight else 0)
    sum_bias = lse.new_zeros(vocabulary if needs_bias else 0)
    workspace = lse.new_empty(plan.rows * plan.columns)
    exponentials = hidden.new_empty(plan.rows if any(needs) and num_rows else 0, vocabulary)
    maxima = lse.new_empty(cover(vocabulary, plan.columns), plan.rows)
    blocks, tiles = statistics_blocks(plan.columns), backward_blocks(plan.columns)
    num_tiles = cover(vocabulary, tiles.block)
    targets = targets.contiguous()
    with on_device(hidden):
        for rows in spans(num_rows, plan.rows):
            count = rows.stop - rows.start
            chunk = padded(hidden[rows], plan.rows)
            for index, columns in enumerate(spans(vocabulary, plan.columns)):
                width = columns.stop - columns.start
                logits = workspace[: plan.rows * width].view(-1, width)
                product(chunk, weight[columns].T, out=logits)
                statistics_kernel[(count,)](
                    logits,
                    None if bias is None else bias[columns],
                    targets[rows],
                    logprobs[rows],
                    lse[rows],
                    total[rows],
                    None,
                    top1[rows],
                    exponentials,
                    maxima[index],
                    width,
                    columns.start,
                    vocabulary,
                    LOG2_E / temperature,
                    FIRST=columns.start == 0,
                    LAST=columns.stop == vocabulary,
                    WITH_ENTROPY=False,
                    WITH_BIAS=bias is not None,
                    KEEP=any(needs),
                    BLOCK=blocks.block,
                    num_warps=blocks.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
                )
            if not any(needs):
                continue
            exponentials_gradient_kernel[(plan.rows * num_tiles,)](
                exponentials,
                maxima,
                targets[rows],
                coefficients(logprobs[rows], rows, experience, settings, grpo),
                logprobs[rows],
                lse[rows],
                count,
                plan.rows,
                vocabulary,
                plan.columns,
                num_tiles,
                1.0 / temperature,
                BLOCK=tiles.block,
                num_warps=tiles.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
            )
            if needs_hidden:
                grad_chunk = lse.new_empty(plan.rows, hidden.shape[1])
                product(exponentials, weight, out=grad_chunk)
                grad_hidden[rows] = grad_chunk[:count].to(hidden.dtype)
            if needs_weight:
                add_product(sum_weight, exponentials.T, chunk)
            if needs_bias:
                sum_bias += exponentials.sum(0, dtype=torch.float32)
    return *loss_of_batch(logprobs, experience, settings, grpo), grad_hidden, sum_weight, sum_bias


@triton.jit
@no_type_check
def exponentials_gradient_kernel(
    exponentials,
    maxima,
    targets,
    coefficients,
    logprobs,
    lse,
    num_rows,
    rows_per_maxima,
    vocabulary,
    columns_per_maximum,
    num_tiles,
    inverse_temperature,
    BLOCK: tl.constexpr,
):
    """Turn 2^(logit - maximum) into the gradient; rows from num_rows on are padding and get zeros."""
    row = tl.program_id(0) // num_tiles
    first = (tl.program_id(0) % num_tiles) * BLOCK
    columns = first + tl.arange(0, BLOCK)
    present = columns < vocabulary
    pointers = exponentials + row.to(tl.int64) * vocabulary + columns
    real = row < num_rows
    coefficient = tl.load(coefficients + row, mask=real, other=0.0) * inverse_temperature
    if coefficient != 0:
        maximum = tl.load(maxima + (first // columns_per_maximum) * rows_per_maxima + row)
        factor = tl.exp2(maximum - tl.load(lse + row) * INVERSE_LN_2)
        p = tl.load(pointers, mask=present, other=0.0).to(tl.float32) * factor
        # The target's own entry from its fp32 log-prob: 1 - p of a rounded p near 1 would be all rounding.
        rest = 1.0 - tl.exp2(tl.load(logprobs + row) * INVERSE_LN_2)
        gradient = tl.where(columns == tl.load(targets + row), rest, -p) * coefficient
        tl.store(pointers, gradient.to(exponentials.dtype.element_ty), mask=present)
    else:
        tl.store(pointers, tl.zeros([BLOCK], exponentials.dtype.element_ty), mask=present)
