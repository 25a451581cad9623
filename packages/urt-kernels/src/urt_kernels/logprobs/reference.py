"""token_logprobs in plain PyTorch: the CPU kernel and the test oracle.

Rows are taken in blocks that stay in cache, so that no fp32 copy of the whole ``[N, V]`` exists. A row's result depends
on that row alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.logprobs.result import IGNORE_TARGET
from urt_kernels.logprobs.upstream import LOWEST, Upstream, log_p_gradient

BLOCK_ELEMENTS = 1 << 18


def forward(
    logits: Tensor, targets: Tensor, temperature: float, temperatures: Tensor | None, entropy: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(log-probs, entropies, top-1 matches, log-sum-exps) of the rows; entropies are empty where not asked for."""
    dtype = compute_dtype(logits)
    outputs = [torch.empty(targets.shape, dtype=dtype, device=logits.device) for _ in range(3)]
    logprobs, entropies, lse = (output.view(-1) for output in outputs)
    top1 = torch.empty(targets.shape, dtype=torch.bool, device=logits.device)
    flat_targets = targets.reshape(-1)
    for rows, block in _row_blocks(logits):
        target = flat_targets[rows].long()
        ignored = target == IGNORE_TARGET
        scaled = _scaled(block, rows, temperature, temperatures, dtype)
        highest = scaled.amax(-1, keepdim=True).clamp(min=LOWEST)
        # A target outside the vocabulary (where nobody checked) leaves NaN in its row.
        outside = ((target < 0) | (target >= logits.shape[-1]))[:, None]
        chosen = scaled.gather(-1, target[:, None].masked_fill(outside, 0)).masked_fill(outside, torch.nan)
        # Where a block had to be widened or scaled, it is our own to overwrite; fp32 logits are the caller's.
        shifted = scaled - highest if scaled is block else scaled.sub_(highest)
        weights = shifted.clamp_(min=LOWEST).exp() if entropy else shifted.exp_()
        total = weights.sum(-1, keepdim=True)
        row_lse = highest + total.log()
        lse[rows] = row_lse[:, 0].masked_fill(ignored, 0.0)
        # In this order a log-prob near 0 keeps its digits, however large the logits are.
        logprobs[rows] = ((chosen - highest) - total.log())[:, 0].masked_fill(ignored, 0.0)
        top1.view(-1)[rows] = ((chosen == highest)[:, 0]) & ~ignored
        if entropy:
            mean_shifted = shifted.mul_(weights).sum(-1, keepdim=True) / total
            entropies[rows] = (total.log() - mean_shifted)[:, 0].masked_fill(ignored, 0.0)
    return outputs[0], outputs[1] if entropy else outputs[1].new_empty(0), top1, outputs[2]


def backward(upstream: Upstream, logits: Tensor, temperature: float, temperatures: Tensor | None, out: Tensor) -> None:
    """Write d loss / d logits into ``out``: a contiguous tensor, or ``logits`` itself."""
    dtype = compute_dtype(logits)
    known = Upstream(*(None if each is None else each.reshape(-1) for each in upstream)).to(dtype)  # pyright: ignore[reportArgumentType]
    whole = slice(0, logits.shape[-1])
    for rows, block in _row_blocks(logits):
        part = known.of_rows(rows)
        scaled = _scaled(block, rows, temperature, temperatures, dtype)
        log_p = scaled - part.lse[:, None] if scaled is block else scaled.sub_(part.lse[:, None])
        gradient = log_p_gradient(log_p, whole, part)
        if temperatures is not None:
            gradient.div_(temperatures.reshape(-1)[rows].to(dtype)[:, None])
        else:
            gradient.mul_(1.0 / temperature)
        block_out = block if out is logits else out.view(-1, out.shape[-1])[rows]
        block_out.copy_(gradient.masked_fill_(~part.alive()[:, None], 0.0))


def _scaled(block: Tensor, rows: slice, temperature: float, temperatures: Tensor | None, dtype: torch.dtype) -> Tensor:
    """The block divided by its rows' temperature; the block itself where nothing changes it."""
    if temperatures is not None:
        return block.to(dtype) * (1.0 / temperatures.reshape(-1)[rows].to(dtype))[:, None]
    return block.to(dtype) if temperature == 1.0 else block.to(dtype) * (1.0 / temperature)


def _row_blocks(tensor: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Blocks of rows ``[n, V]`` in row order, always views of ``tensor``, whatever its strides."""
    vocabulary = tensor.shape[-1]
    block = max(1, BLOCK_ELEMENTS // max(1, vocabulary))
    start = 0
    for matrix in _matrices(tensor):
        for part in matrix.split(block):
            yield slice(start, start + len(part)), part
            start += len(part)


def _matrices(tensor: Tensor) -> Iterator[Tensor]:
    if tensor.numel() == 0:
        return
    if tensor.dim() <= 2:
        yield tensor.reshape(-1, tensor.shape[-1]) if tensor.dim() == 1 else tensor
    elif tensor.is_contiguous():
        yield tensor.view(-1, tensor.shape[-1])
    else:
        for part in tensor.unbind(0):
            yield from _matrices(part)
