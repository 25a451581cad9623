"""fp64 results to measure errors against, in chunks of rows: the whole [N, V] in fp64 would not fit on the card."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from benchmarks.kernels.case import Inputs

CHUNK_ROWS = 256
Upstream = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def logprobs_truth(
    inputs: Inputs, num_outputs: int, *, temperature: float, rows: Tensor, make_upstream: Upstream
) -> Sequence[Tensor]:
    """Log-prob and d / d logits of some rows; with two outputs the entropy's gradient is in it."""
    logits = inputs["logits"][rows].double().requires_grad_()
    log_p = (logits / temperature).log_softmax(-1)
    outputs = [log_p.gather(-1, inputs["targets"][rows, None])[:, 0], -(log_p.exp() * log_p).sum(-1)][:num_outputs]
    whole = [torch.empty(len(inputs["logits"]), device=logits.device) for _ in outputs]
    upstream = [values[rows].double() for values in make_upstream(whole)]
    return outputs[0].detach(), torch.autograd.grad(outputs, logits, upstream)[0]


def head_truth(inputs: Inputs, num_outputs: int, *, temperature: float, make_upstream: Upstream) -> Sequence[Tensor]:
    """Log-prob, d / d hidden and d / d weight."""
    return _head(inputs, temperature, lambda logprobs: (logprobs, make_upstream([logprobs.float()])[0].double()))


def step_truth(inputs: Inputs, num_outputs: int, *, temperature: float) -> Sequence[Tensor]:
    """Loss of a step with clip 0.2, mean over tokens, and its d / d hidden and d / d weight."""

    def loss_and_coefficients(logprobs: Tensor) -> tuple[Tensor, Tensor]:
        policy = logprobs.detach().requires_grad_()
        ratio = (policy - inputs["rollout"].double()).exp().unflatten(0, (len(inputs["advantages"]), -1))
        advantages = inputs["advantages"].double()[:, None]
        loss = -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()
        return loss.detach(), torch.autograd.grad(loss, policy)[0]

    return _head(inputs, temperature, loss_and_coefficients)


def advantages_truth(inputs: Inputs, num_outputs: int) -> Sequence[Tensor]:
    rewards = inputs["rewards"].double()
    return ((rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-4),)


def _head(
    inputs: Inputs, temperature: float, upstream_of: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor, Tensor]:
    hidden, weight, targets = inputs["hidden"].double(), inputs["weight"].double(), inputs["targets"]

    def log_p_of(rows: slice) -> Tensor:
        return ((hidden[rows] @ weight.T) / temperature).log_softmax(-1)

    chunks = [slice(start, start + CHUNK_ROWS) for start in range(0, len(hidden), CHUNK_ROWS)]
    logprobs = torch.cat([log_p_of(rows).gather(-1, targets[rows, None])[:, 0] for rows in chunks])
    first, upstream = upstream_of(logprobs)
    grad_hidden, grad_weight = torch.empty_like(hidden), torch.zeros_like(weight)
    for rows in chunks:
        gradient = log_p_of(rows).exp_().mul_(-upstream[rows, None])
        gradient.scatter_add_(-1, targets[rows, None], upstream[rows, None])
        gradient /= temperature
        grad_hidden[rows] = gradient @ weight
        grad_weight += gradient.T @ hidden[rows]
    return first, grad_hidden, grad_weight
