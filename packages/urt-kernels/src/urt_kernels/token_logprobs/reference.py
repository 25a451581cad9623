"""token_logprobs in plain PyTorch: the CPU kernel and the test oracle.

Rows are taken in blocks that stay in cache, so that no fp32 copy of the whole ``[N, V]`` exists. A row's result depends on
that row alone.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.token_logprobs.result import IGNORE_TARGET

BLOCK_ELEMENTS = 1 << 18
# Finite stand-in for -inf: exp() of it is 0 and 0 times it is 0, where 0 times -inf would be NaN.
LOWEST = -1e30


def forward(
    logits: Tensor, targets: Tensor, temperature: float, entropy: bool
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
        scaled = block.to(dtype) if temperature == 1.0 else block.to(dtype) * (1.0 / temperature)
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
        logprobs[rows] = (chosen - row_lse)[:, 0].masked_fill(ignored, 0.0)
        top1.view(-1)[rows] = ((chosen == highest)[:, 0]) & ~ignored
        if entropy:
            mean_shifted = shifted.mul_(weights).sum(-1, keepdim=True) / total
            entropies[rows] = (total.log() - mean_shifted)[:, 0].masked_fill(ignored, 0.0)
    return outputs[0], outputs[1] if entropy else outputs[1].new_empty(0), top1, outputs[2]


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
    """Write d loss / d logits into ``out``: a contiguous tensor, or ``logits`` itself.

    With p the softmax of z/T and t the target: dz_j = (g_logprob (1[j=t] - p_j) - g_entropy p_j (ln p_j + entropy) + g_lse p_j) / T.
    """
    dtype = compute_dtype(logits)
    flat_targets, flat_lse = targets.reshape(-1), lse.reshape(-1, 1)
    rows_logprob, rows_lse = grad_logprobs.reshape(-1, 1).to(dtype), grad_lse.reshape(-1, 1).to(dtype)
    for rows, block in _row_blocks(logits):
        target = flat_targets[rows].long()[:, None]
        # Nothing flows through a dead row: what it holds (NaN, too) stays out of the gradient.
        dead = (target == IGNORE_TARGET) | ((rows_logprob[rows] == 0) & (rows_lse[rows] == 0))
        log_p = (block.to(dtype) * (1.0 / temperature)).sub_(flat_lse[rows])
        factor: Tensor = rows_lse[rows] - rows_logprob[rows]
        if grad_entropy is not None:
            grad = grad_entropy.reshape(-1, 1)[rows].to(dtype)
            dead &= (grad == 0) | (target == IGNORE_TARGET)
            # LOWEST keeps p ln p at 0 for a logit of -inf.
            factor = factor - grad * (log_p.clamp(min=LOWEST) + entropies.reshape(-1, 1)[rows])
        gradient = log_p.exp_().mul_(factor)
        inside = (target >= 0) & (target < logits.shape[-1])
        gradient.scatter_add_(-1, target.masked_fill(~inside, 0), rows_logprob[rows] * inside)
        block_out = block if out is logits else out.view(-1, out.shape[-1])[rows]
        block_out.copy_(gradient.mul_(1.0 / temperature).masked_fill_(dead, 0.0))


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
