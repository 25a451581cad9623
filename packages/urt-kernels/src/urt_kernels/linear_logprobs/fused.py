# pyright: reportMissingImports=false, reportIndexIssue=false
"""The forward of linear_token_logprobs in one Triton kernel: logits live and die in registers.

A program multiplies 128 tokens with the tiles of one part of the vocabulary and keeps running statistics per token; a
second kernel merges the parts in order. Tiles and parts follow from the vocabulary alone, so that a token's bits do not
depend on how many others there are. It is a candidate: `apps/bench_kernels.py` times it beside the chunked form, which
is what linear_token_logprobs runs.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

from urt_kernels.dispatch import on_device
from urt_kernels.logprobs.triton import IGNORE, LN_2, LOG2_E, LOWEST
from urt_kernels.tuning import cover, fused_forward

# Token tiles that share a vocabulary tile while it is in the L2 cache.
GROUP = 32
MERGE_ROWS = 128


def unsupported(hidden: Tensor, weight: Tensor) -> str | None:
    """Why the kernel can't take these operands, or None. TMA wants rows of a multiple of 16 bytes, 16-byte aligned."""
    for name, operand in {"hidden": hidden, "weight": weight}.items():
        if not operand.is_contiguous() or operand.data_ptr() % 16 or operand.shape[1] * operand.element_size() % 16:
            return f"{name} is not contiguous in rows of a multiple of 16 bytes"
    return None


def forward(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    num_rows, vocabulary = len(hidden), len(weight)
    tile = fused_forward(vocabulary)
    logprobs, lse = (torch.empty(num_rows, dtype=torch.float32, device=hidden.device) for _ in range(2))
    entropies = torch.empty_like(lse) if entropy else lse.new_empty(0)
    top1 = torch.empty_like(lse, dtype=torch.bool)
    if num_rows == 0:
        return logprobs, entropies, top1, lse
    targets = targets.contiguous()
    partials = lse.new_empty(3, tile.num_splits, num_rows)
    # The target is in one part of the vocabulary alone, whose program stores its logit here.
    num_tiles = cover(vocabulary, tile.columns)
    with on_device(hidden):
        fused_kernel[(cover(num_rows, tile.rows) * tile.num_splits,)](
            TensorDescriptor.from_tensor(hidden, [tile.rows, tile.inner]),
            TensorDescriptor.from_tensor(weight, [tile.columns, tile.inner]),
            bias,
            targets,
            partials,
            logprobs,
            num_rows,
            vocabulary,
            hidden.shape[1],
            tile.num_splits,
            cover(num_tiles, tile.num_splits),
            LOG2_E / temperature,
            WITH_ENTROPY=entropy,
            WITH_BIAS=bias is not None,
            ROWS=tile.rows,
            COLUMNS=tile.columns,
            INNER=tile.inner,
            GROUP=GROUP,
            num_warps=tile.num_warps,  # pyright: ignore[reportCallIssue]  an option of the launch
            num_stages=tile.num_stages,  # pyright: ignore[reportCallIssue]  an option of the launch
        )
        merge_kernel[(cover(num_rows, MERGE_ROWS),)](
            partials,
            targets,
            logprobs,
            lse,
            entropies if entropy else None,
            top1,
            num_rows,
            vocabulary,
            tile.num_splits,
            WITH_ENTROPY=entropy,
            ROWS=MERGE_ROWS,
            num_warps=4,  # pyright: ignore[reportCallIssue]  an option of the launch
        )
    return logprobs, entropies, top1, lse


@triton.jit
@no_type_check
def fused_kernel(
    hidden,
    weight,
    bias,
    targets,
    partials,
    chosen,
    num_rows,
    vocabulary,
    hidden_size,
    num_splits,
    tiles_per_split,
    scale,
    WITH_ENTROPY: tl.constexpr,
    WITH_BIAS: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    INNER: tl.constexpr,
    GROUP: tl.constexpr,
):
    num_row_tiles = tl.cdiv(num_rows, ROWS)
    group_size = GROUP * num_splits
    group = tl.program_id(0) // group_size
    rows_in_group = tl.minimum(num_row_tiles - group * GROUP, GROUP)
    local = tl.program_id(0) % group_size
    first_row = (group * GROUP + local % rows_in_group) * ROWS
    split = local // rows_in_group

    rows = first_row + tl.arange(0, ROWS)
    real = rows < num_rows
    target = tl.load(targets + rows, mask=real, other=IGNORE).to(tl.int32)
    highest = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    weighted = tl.zeros([ROWS], tl.float32)
    target_logit = tl.full([ROWS], LOWEST, tl.float32)
    first_column = split * tiles_per_split * COLUMNS
    last_column = tl.minimum(first_column + tiles_per_split * COLUMNS, vocabulary)
    for column in range(first_column, last_column, COLUMNS):
        logits = tl.zeros([ROWS, COLUMNS], tl.float32)
        for inner in range(0, hidden_size, INNER):
            left = hidden.load([first_row, inner])
            right = weight.load([column, inner])
            logits = tl.dot(left, right.T, logits)
        columns = column + tl.arange(0, COLUMNS)
        if WITH_BIAS:
            shifts = tl.load(bias + columns, mask=columns < vocabulary, other=0.0).to(tl.float32)
            # A bias of -inf bans a token: finite, so that 0 times it is 0.
            logits += tl.where(shifts < LOWEST, LOWEST, shifts)[None, :]
        # A finite stand-in for -inf, and one mask, keep the epilogue free of register spills.
        values = tl.where(columns[None, :] < vocabulary, logits * scale, LOWEST)
        new_highest = tl.maximum(highest, tl.max(values, 1))
        shift = highest - new_highest
        rescale = tl.exp2(shift)
        shifted = values - new_highest[:, None]
        weights = tl.exp2(shifted)
        if WITH_ENTROPY:
            weighted = (weighted + shift * total) * rescale + tl.sum(weights * shifted, 1)
        total = total * rescale + tl.sum(weights, 1)
        highest = new_highest
        found = columns[None, :] == target[:, None]
        target_logit = tl.maximum(target_logit, tl.max(tl.where(found, values, LOWEST), 1))
    start = split * num_rows
    tl.store(partials + start + rows, highest, mask=real)
    tl.store(partials + num_splits * num_rows + start + rows, total, mask=real)
    if WITH_ENTROPY:
        tl.store(partials + 2 * num_splits * num_rows + start + rows, weighted, mask=real)
    mine = (target >= first_column) & (target < last_column)
    tl.store(chosen + rows, target_logit, mask=real & mine)


@triton.jit
@no_type_check
def merge_kernel(
    partials,
    targets,
    logprobs,
    lse,
    entropies,
    top1,
    num_rows,
    vocabulary,
    num_splits,
    WITH_ENTROPY: tl.constexpr,
    ROWS: tl.constexpr,
):
    """Merge the parts of the vocabulary in order; on entry logprobs holds the target's logit in base 2."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real = rows < num_rows
    target = tl.load(targets + rows, mask=real, other=IGNORE).to(tl.int32)
    highest = tl.full([ROWS], LOWEST, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    weighted = tl.zeros([ROWS], tl.float32)
    for split in range(num_splits):
        pointers = partials + split * num_rows + rows
        part_highest = tl.load(pointers, mask=real, other=LOWEST)
        part_total = tl.load(pointers + num_splits * num_rows, mask=real, other=0.0)
        new_highest = tl.maximum(highest, part_highest)
        shift = highest - new_highest
        part_shift = part_highest - new_highest
        if WITH_ENTROPY:
            part_weighted = tl.load(pointers + 2 * num_splits * num_rows, mask=real, other=0.0)
            weighted = (weighted + shift * total) * tl.exp2(shift)
            weighted += (part_weighted + part_shift * part_total) * tl.exp2(part_shift)
        total = total * tl.exp2(shift) + part_total * tl.exp2(part_shift)
        highest = new_highest
    inside = (target >= 0) & (target < vocabulary)
    ignored = target == IGNORE
    chosen = tl.load(logprobs + rows, mask=real & inside, other=float("nan"))
    log_total = tl.log2(total)
    tl.store(logprobs + rows, tl.where(ignored, 0.0, ((chosen - highest) - log_total) * LN_2), mask=real)
    tl.store(lse + rows, tl.where(ignored, 0.0, (highest + log_total) * LN_2), mask=real)
    tl.store(top1 + rows, (chosen >= highest) & (total == total) & ~ignored, mask=real)
    if WITH_ENTROPY:
        entropy = (log_total - weighted / total) * LN_2
        tl.store(entropies + rows, tl.where(ignored, 0.0, entropy), mask=real)
