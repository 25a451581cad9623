"""torch.ops.urt_kernels.grpo_loss: one op for every device and implementation; backward only scales the saved
gradient."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.packed import packed_rows
from urt_kernels.policy_loss.settings import GRPOSettings

NUM_METRICS = 13


@torch.library.custom_op("urt_kernels::grpo_loss", mutates_args=())
def grpo_loss_op(
    policy: Tensor,
    old: Tensor,
    rollout: Tensor | None,
    reference_logprobs: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    cu_seqlens: Tensor | None,
    normalizer: Tensor | None,
    numbers: Sequence[float],
    kl: str,
    ratio: str,
    aggregation: str,
    surrogate: str,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    settings, forward = GRPOSettings.of(numbers, kl, ratio, aggregation, surrogate), _implementation(impl).forward
    if cu_seqlens is None:
        return forward(policy, old, rollout, reference_logprobs, advantages, mask, normalizer, settings)
    # Inside of the op, because the longest sequence is data: a compiler sees no shape that depends on it.
    rows = packed_rows(cu_seqlens, like=policy)
    padded = [None if each is None else rows.padded(each) for each in (policy, old, rollout, reference_logprobs)]
    by_sequence = rows.by_sequence(advantages)
    advantages = by_sequence if by_sequence.dim() == 2 else by_sequence[:, None]
    inside = rows.padded(mask) & rows.present
    loss, gradient, scale, metrics = forward(*padded, advantages, inside, normalizer, settings)
    return loss, gradient[rows.present], scale, metrics


@grpo_loss_op.register_fake
def _fake(
    policy: Tensor,
    old: Tensor,
    rollout: Tensor | None,
    reference_logprobs: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    cu_seqlens: Tensor | None,
    normalizer: Tensor | None,
    numbers: Sequence[float],
    kl: str,
    ratio: str,
    aggregation: str,
    surrogate: str,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    scalar = policy.new_empty((), dtype=compute_dtype(policy))
    return scalar, scalar.new_empty(policy.shape), torch.empty_like(scalar), scalar.new_empty(NUM_METRICS)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, gradient, scale, metrics = output
    ctx.mark_non_differentiable(gradient, scale, metrics)
    ctx.save_for_backward(gradient, scale)
    ctx.dtype = inputs[0].dtype


def _backward(ctx: Any, grad_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    gradient, scale = ctx.saved_tensors
    return (gradient * (grad_loss * scale)).to(ctx.dtype), *[None] * 13


grpo_loss_op.register_autograd(_backward, setup_context=_setup_context)


def _implementation(impl: str) -> ModuleType:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.policy_loss.{impl}")
