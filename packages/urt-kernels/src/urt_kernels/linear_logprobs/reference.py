"""linear_token_logprobs in plain PyTorch: the CPU kernel and the test oracle.

Tokens are taken in chunks and the vocabulary in blocks, merged by a running maximum (online softmax, Milakov & Gimelshein,
arXiv 1805.02867), so that the workspace does not depend on the number of tokens. Every chunk is padded to the same number
of rows: the matrix product then takes the same path whatever the batch, and a row's bits do not depend on its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs.chunks import padded, spans
from urt_kernels.token_logprobs.reference import LOWEST
from urt_kernels.token_logprobs.result import IGNORE_TARGET

CHUNK_ROWS = 256
VOCABULARY_BLOCK = 8192


def forward(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float, entropy: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(log-probs, entropies, top-1 matches, log-sum-exps) of the rows of ``hidden @ weight.T + bias``."""
    dtype = compute_dtype(hidden, weight, bias)
    num_rows = len(hidden)
    logprobs, entropies, lse = (torch.empty(num_rows, dtype=dtype, device=hidden.device) for _ in range(3))
    top1 = torch.empty(num_rows, dtype=torch.bool, device=hidden.device)
    for rows in spans(num_rows, CHUNK_ROWS):
        count = rows.stop - rows.start
        target = targets[rows].long()
        ignored = target == IGNORE_TARGET
        chunk = padded(hidden[rows].to(dtype), CHUNK_ROWS)
        highest = torch.full((count, 1), LOWEST, dtype=dtype, device=hidden.device)
        total, shifted_total = torch.zeros_like(highest), torch.zeros_like(highest)
        # A target outside the vocabulary (where nobody checked) leaves NaN in its row.
        chosen = torch.full_like(highest, torch.nan)
        for columns in spans(len(weight), VOCABULARY_BLOCK):
            logits = _logits(chunk, weight, bias, columns, temperature, dtype)[:count]
            inside, local = _inside(target, columns)
            chosen = torch.where(inside, logits.gather(-1, local), chosen)
            block_highest = torch.maximum(highest, logits.amax(-1, keepdim=True))
            shift = highest - block_highest
            shifted = (logits - block_highest).clamp_(min=LOWEST)
            weights = shifted.exp()
            scale = shift.exp()
            if entropy:
                shifted_total = (shifted_total + shift * total) * scale + shifted.mul_(weights).sum(-1, keepdim=True)
            total = total * scale + weights.sum(-1, keepdim=True)
            highest = block_highest
        row_lse = highest + total.log()
        lse[rows] = row_lse[:, 0].masked_fill(ignored, 0.0)
        logprobs[rows] = (chosen - row_lse)[:, 0].masked_fill(ignored, 0.0)
        top1[rows] = (chosen == highest)[:, 0] & ~ignored
        if entropy:
            entropies[rows] = (total.log() - shifted_total / total)[:, 0].masked_fill(ignored, 0.0)
    return logprobs, entropies if entropy else entropies.new_empty(0), top1, lse


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
    """Gradients of hidden, weight and bias; an empty tensor for each that ``needs`` leaves out.

    The logits are formed again; dz is that of token_logprobs, dX = dz W, dW = dz' X summed over the chunks in ``dtype``.
    """
    dtype = compute_dtype(hidden, weight, bias)
    needs_hidden, needs_weight, needs_bias = needs
    grad_hidden = hidden.new_empty(hidden.shape if needs_hidden else 0)
    sum_weight = hidden.new_zeros(weight.shape if needs_weight else 0, dtype=dtype)
    sum_bias = hidden.new_zeros(len(weight) if needs_bias else 0, dtype=dtype)
    for rows in spans(len(hidden), CHUNK_ROWS):
        count = rows.stop - rows.start
        target = targets[rows].long()
        flowing = (grad_logprobs[rows] != 0) | (grad_lse[rows] != 0)
        if grad_entropy is not None:
            flowing |= grad_entropy[rows] != 0
        valid = ((target != IGNORE_TARGET) & flowing)[:, None]
        chunk = padded(hidden[rows].to(dtype), CHUNK_ROWS)
        grad_logprob = grad_logprobs[rows, None].to(dtype) * valid
        factor = (grad_lse[rows, None].to(dtype) - grad_logprobs[rows, None].to(dtype)) * valid
        grad_chunk = torch.zeros_like(chunk)
        for columns in spans(len(weight), VOCABULARY_BLOCK):
            log_p = _logits(chunk, weight, bias, columns, temperature, dtype)[:count].sub_(lse[rows, None])
            row_factor: Tensor = factor
            if grad_entropy is not None:
                grad = grad_entropy[rows, None].to(dtype) * valid
                row_factor = factor - grad * (log_p.clamp(min=LOWEST) + entropies[rows, None])
            inside, local = _inside(target, columns)
            gradient = log_p.exp_().mul_(row_factor)
            gradient.scatter_add_(-1, local, grad_logprob * inside)
            gradient.mul_(1.0 / temperature).masked_fill_(~valid, 0.0)
            if needs_hidden:
                grad_chunk.addmm_(padded(gradient, CHUNK_ROWS), weight[columns].to(dtype))
            if needs_weight:
                sum_weight[columns].addmm_(gradient.T, chunk[:count])
            if needs_bias:
                sum_bias[columns] += gradient.sum(0)
        if needs_hidden:
            grad_hidden[rows] = grad_chunk[:count].to(hidden.dtype)
    return (
        grad_hidden,
        sum_weight.to(weight.dtype),
        sum_bias.to(bias.dtype if bias is not None else dtype),
    )


def _logits(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, columns: slice, temperature: float, dtype: torch.dtype
) -> Tensor:
    logits = hidden @ weight[columns].to(dtype).T
    if bias is not None:
        logits += bias[columns].to(dtype)
    return logits if temperature == 1.0 else logits.mul_(1.0 / temperature)


def _inside(target: Tensor, columns: slice) -> tuple[Tensor, Tensor]:
    """Which rows have their target in these columns, and its index there (0 elsewhere); both ``[n, 1]``."""
    inside = (target >= columns.start) & (target < columns.stop)
    return inside[:, None], (target - columns.start).masked_fill(~inside, 0)[:, None]
