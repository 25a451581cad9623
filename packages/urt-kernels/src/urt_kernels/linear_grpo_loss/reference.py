"""linear_grpo_loss in plain PyTorch: the CPU kernel and the test oracle.

The logits of a chunk of rows are kept until their log-probs, and with them the coefficients, are known; they then become the
gradient. Nothing is computed twice: 6 N H V floating-point operations where forward and backward by themselves take 8.
"""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.grpo_loss import reference as grpo
from urt_kernels.grpo_loss.result import GRPOSettings
from urt_kernels.linear_grpo_loss.coefficients import Experience, coefficients, loss_of_batch
from urt_kernels.linear_logprobs.chunks import padded, spans
from urt_kernels.linear_logprobs.reference import CHUNK_ROWS, VOCABULARY_BLOCK, block_logits
from urt_kernels.linear_logprobs.running import RunningRows, target_in


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
    dtype = compute_dtype(hidden, weight, bias)
    needs_hidden, needs_weight, needs_bias = needs
    logprobs = torch.empty(len(hidden), dtype=dtype, device=hidden.device)
    grad_hidden = hidden.new_empty(hidden.shape if needs_hidden else 0)
    sum_weight = hidden.new_zeros(weight.shape if needs_weight else 0, dtype=dtype)
    sum_bias = hidden.new_zeros(len(weight) if needs_bias else 0, dtype=dtype)
    for rows in spans(len(hidden), CHUNK_ROWS):
        count = rows.stop - rows.start
        chunk = padded(hidden[rows].to(dtype), CHUNK_ROWS)
        running = RunningRows(targets[rows], dtype=dtype, entropy=False)
        blocks = []
        for columns in spans(len(weight), VOCABULARY_BLOCK):
            blocks.append(block_logits(chunk, weight, bias, columns, temperature)[:count])
            running.add(blocks[-1], columns)
        logprobs[rows], _, _, lse = running.finish()
        if not any(needs):
            continue
        coefficient = coefficients(logprobs[rows], rows, experience, settings, grpo)[:, None] / temperature
        grad_chunk = torch.zeros_like(chunk)
        for columns, logits in zip(spans(len(weight), VOCABULARY_BLOCK), blocks, strict=True):
            inside, local = target_in(running.targets, columns)
            gradient = logits.sub_(lse[:, None]).exp_().mul_(-coefficient)
            gradient.scatter_add_(-1, local, coefficient * inside)
            # Nothing flows through a row without coefficient, whatever its logits hold.
            gradient.masked_fill_(coefficient == 0, 0.0)
            if needs_hidden:
                grad_chunk.addmm_(padded(gradient, CHUNK_ROWS), weight[columns].to(dtype))
            if needs_weight:
                sum_weight[columns].addmm_(gradient.T, chunk[:count])
            if needs_bias:
                sum_bias[columns] += gradient.sum(0)
        if needs_hidden:
            grad_hidden[rows] = grad_chunk[:count].to(hidden.dtype)
    return *loss_of_batch(logprobs, experience, settings, grpo), grad_hidden, sum_weight, sum_bias
