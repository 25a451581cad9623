"""Divergence and gradient of rows whose logits lie there, in plain PyTorch: the CPU kernel and the test oracle."""

from __future__ import annotations

import torch
from torch import Tensor

# Logits of both heads; the formulas make up to four times as much on their way.
WORKSPACE_BYTES = 64 * 2**20


def whole_divergence(
    student: Tensor, teacher: Tensor, temperature: float, divergence: str, beta: float, out: Tensor
) -> Tensor:
    """The divergences ``[n]`` of logits ``[n, V]`` / temperature; their derivative by the student's logits goes to
    ``out``. Both logits are overwritten.

    With u = d D / d p: dz_j = p_j (u_j - sum_i p_i u_i). KL(q || p): p - q. KL(p || q): u = ln p - ln q. JSD:
    u = (1 - beta) (ln p - ln m), what else its derivative has adds up to a constant.
    """
    log_p, log_q = (logits.div_(temperature).log_softmax(-1) for logits in (student, teacher))
    p, q = log_p.exp(), log_q.exp()
    if divergence == "forward_kl":
        values, gradient = (q * (log_q - log_p)).sum(-1), p - q
    elif divergence == "reverse_kl":
        slope = log_p - log_q
        values = (p * slope).sum(-1)
        gradient = p * (slope - values[:, None])
    else:
        log_m = torch.logaddexp(log_q + torch.log(q.new_tensor(beta)), log_p + torch.log(q.new_tensor(1.0 - beta)))
        slope = (1.0 - beta) * (log_p - log_m)
        own = (p * slope).sum(-1)
        values, gradient = beta * (q * (log_q - log_m)).sum(-1) + own, p * (slope - own[:, None])
    torch.div(gradient, temperature, out=out)
    return values


def top_k_divergence(student: Tensor, tokens: Tensor, logprobs: Tensor, temperature: float, out: Tensor) -> Tensor:
    """The same of sum_k q_k (ln q_k - ln p_k) over ``tokens [n, K]``: dz = p sum_k q_k - q."""
    log_p = student.div_(temperature).log_softmax(-1)
    tokens, logprobs = tokens.long(), logprobs.to(log_p.dtype)
    q = logprobs.exp()
    values = torch.where(q > 0, q * (logprobs - log_p.gather(-1, tokens)), 0.0).sum(-1)
    gradient = log_p.exp_().mul_(q.sum(-1, keepdim=True)).scatter_add_(-1, tokens, -q)
    torch.div(gradient, temperature, out=out)
    return values
