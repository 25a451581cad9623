"""linear_token_logprobs in plain PyTorch: the CPU kernel and the test oracle.

Tokens are taken in chunks and the vocabulary in blocks, so that the workspace does not depend on the number of tokens. Every
chunk is padded to the same number of rows: the matrix product then takes the same path whatever the batch, and a row's bits
do not depend on its neighbours.
"""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs.chunks import padded, spans
from urt_kernels.linear_logprobs.running import RunningRows, target_in
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
        running = RunningRows(targets[rows], dtype=dtype, entropy=entropy)
        chunk = padded(hidden[rows].to(dtype), CHUNK_ROWS)
        for columns in spans(len(weight), VOCABULARY_BLOCK):
            logits = block_logits(chunk, weight, bias, columns, temperature)
            running.add(logits[: rows.stop - rows.start], columns)
        logprobs[rows], entropies[rows], top1[rows], lse[rows] = running.finish()
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

    The logits are formed again; dz is that of token_logprobs, dX = dz W, dW = dz' X summed over the chunks in the compute type.
    """
    dtype = compute_dtype(hidden, weight, bias)
    needs_hidden, needs_weight, needs_bias = needs
    grad_hidden = hidden.new_empty(hidden.shape if needs_hidden else 0)
    sum_weight = hidden.new_zeros(weight.shape if needs_weight else 0, dtype=dtype)
    sum_bias = hidden.new_zeros(len(weight) if needs_bias else 0, dtype=dtype)
    upstream = [None if grad is None else grad[:, None].to(dtype) for grad in (grad_logprobs, grad_entropy, grad_lse)]
    for rows in spans(len(hidden), CHUNK_ROWS):
        count = rows.stop - rows.start
        target = targets[rows].long()
        row_logprob, row_entropy, row_lse = (None if grad is None else grad[rows] for grad in upstream)
        assert row_logprob is not None
        assert row_lse is not None
        alive = (row_logprob != 0) | (row_lse != 0)
        if row_entropy is not None:
            alive |= row_entropy != 0
        alive &= (target != IGNORE_TARGET)[:, None]
        chunk = padded(hidden[rows].to(dtype), CHUNK_ROWS)
        grad_chunk = torch.zeros_like(chunk)
        for columns in spans(len(weight), VOCABULARY_BLOCK):
            log_p = block_logits(chunk, weight, bias, columns, temperature)[:count].sub_(lse[rows, None])
            factor: Tensor = row_lse - row_logprob
            if row_entropy is not None:
                # LOWEST keeps p ln p at 0 for a logit of -inf.
                factor = factor - row_entropy * (log_p.clamp(min=LOWEST) + entropies[rows, None])
            inside, local = target_in(target, columns)
            gradient = log_p.exp_().mul_(factor).scatter_add_(-1, local, row_logprob * inside)
            gradient = gradient.mul_(1.0 / temperature).masked_fill_(~alive, 0.0)
            if needs_hidden:
                grad_chunk.addmm_(padded(gradient, CHUNK_ROWS), weight[columns].to(dtype))
            if needs_weight:
                sum_weight[columns].addmm_(gradient.T, chunk[:count])
            if needs_bias:
                sum_bias[columns] += gradient.sum(0)
        if needs_hidden:
            grad_hidden[rows] = grad_chunk[:count].to(hidden.dtype)
    return grad_hidden, sum_weight.to(weight.dtype), sum_bias.to(dtype if bias is None else bias.dtype)


def block_logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, columns: slice, temperature: float) -> Tensor:
    """The logits of some columns, divided by the temperature, in the type of ``hidden``."""
    logits = hidden @ weight[columns].to(hidden.dtype).T
    if bias is not None:
        logits += bias[columns].to(hidden.dtype)
    return logits if temperature == 1.0 else logits.mul_(1.0 / temperature)
