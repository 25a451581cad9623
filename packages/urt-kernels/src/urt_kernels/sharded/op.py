"""torch.ops.urt_kernels.parts_token_logprobs: log-probs of a head whose weight is there part by part, with fake and
autograd. The collectives of a weight over ranks are inside of the op, forward and backward."""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import check_targets, compute_dtype, exact
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.one_pass.held import Held
from urt_kernels.one_pass.part_by_part import gradients, local_targets, statistics
from urt_kernels.sharded.held import held_over_ranks
from urt_kernels.sharded.low_rank import HeldLowRank


@torch.library.custom_op("urt_kernels::parts_token_logprobs", mutates_args=())
def parts_token_logprobs_op(
    hidden: Tensor,
    weight: Tensor,
    up: Tensor | None,
    targets: Tensor,
    temperature: float,
    entropy: bool,
    spread: str,
    vocabulary: int,
    block: int,
    group: str,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(log-probs, entropies, top-1 matches, log-sum-exps); with ``up``, hidden states are [hidden, scaling hidden
    down']."""
    if targets.device.type == "cpu":
        check_targets(targets, vocabulary, None)
    held = _held(weight, up, (False, False), spread, vocabulary, block, group)
    local = local_targets(targets, held.columns)
    with exact(hidden):
        found = statistics(_two_steps(impl), hidden, _head(weight, temperature), local, held, entropy=entropy)
    return found.logprobs, found.entropies, found.top1, found.lse


@parts_token_logprobs_op.register_fake
def _fake(
    hidden: Tensor,
    weight: Tensor,
    up: Tensor | None,
    targets: Tensor,
    temperature: float,
    entropy: bool,
    spread: str,
    vocabulary: int,
    block: int,
    group: str,
    impl: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rows = hidden.new_empty(targets.shape, dtype=compute_dtype(hidden, weight))
    entropies = torch.empty_like(rows) if entropy else rows.new_empty(0)
    return rows, entropies, torch.empty_like(rows, dtype=torch.bool), torch.empty_like(rows)


@torch.library.custom_op("urt_kernels::parts_token_logprobs_backward", mutates_args=())
def parts_token_logprobs_backward_op(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    hidden: Tensor,
    weight: Tensor,
    up: Tensor | None,
    targets: Tensor,
    logprobs: Tensor,
    entropies: Tensor | None,
    lse: Tensor,
    temperature: float,
    spread: str,
    vocabulary: int,
    block: int,
    group: str,
    impl: str,
    needs_hidden: bool,
    needs_weight: bool,
    needs_up: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    held = _held(weight, up, (needs_weight, needs_up), spread, vocabulary, block, group)
    local = local_targets(targets, held.columns)
    upstream = Upstream(local, logprobs, entropies, lse, grad_logprobs, grad_entropy, grad_lse)
    needs, head = (needs_hidden, needs_weight or needs_up, False), _head(weight, temperature)
    with exact(hidden):
        by_hidden, by_weight, _ = gradients(_two_steps(impl), upstream, hidden, head, held, needs)
    by_up = held.sums[1] if isinstance(held, HeldLowRank) else weight.new_empty(0)
    return by_hidden, by_weight.to(weight.dtype), by_up


@parts_token_logprobs_backward_op.register_fake
def _backward_fake(
    grad_logprobs: Tensor,
    grad_entropy: Tensor | None,
    grad_lse: Tensor,
    hidden: Tensor,
    weight: Tensor,
    up: Tensor | None,
    targets: Tensor,
    logprobs: Tensor,
    entropies: Tensor | None,
    lse: Tensor,
    temperature: float,
    spread: str,
    vocabulary: int,
    block: int,
    group: str,
    impl: str,
    needs_hidden: bool,
    needs_weight: bool,
    needs_up: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    return (
        hidden.new_empty(hidden.shape if needs_hidden else (0,)),
        weight.new_empty(weight.shape if needs_weight else (0,)),
        weight.new_empty(0) if up is None else up.new_empty(up.shape if needs_up else (0,)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    hidden, weight, up, targets, ctx.temperature, ctx.entropy, *ctx.held = inputs
    logprobs, entropies, top1, lse = output
    ctx.mark_non_differentiable(top1)
    ctx.save_for_backward(hidden, weight, up, targets, logprobs, entropies, lse)


def _backward(
    ctx: Any, grad_logprobs: Tensor, grad_entropy: Tensor, _: Any, grad_lse: Tensor
) -> tuple[Tensor | None, ...]:
    hidden, weight, up, targets, logprobs, entropies, lse = ctx.saved_tensors
    needs = ctx.needs_input_grad[:3]
    found = parts_token_logprobs_backward_op(
        grad_logprobs,
        grad_entropy if ctx.entropy else None,
        grad_lse,
        hidden,
        weight,
        up,
        targets,
        logprobs,
        entropies if ctx.entropy else None,
        lse,
        ctx.temperature,
        *ctx.held,
        *needs,
    )
    return *(gradient if needed else None for gradient, needed in zip(found, needs, strict=True)), *[None] * 8


parts_token_logprobs_op.register_autograd(_backward, setup_context=_setup_context)


def _held(
    weight: Tensor, up: Tensor | None, trains: tuple[bool, bool], spread: str, vocabulary: int, block: int, group: str
) -> Held:
    if up is not None:
        return HeldLowRank(weight, up, block=block, trains=trains)
    return held_over_ranks(spread, weight, vocabulary=vocabulary, block=block, group=group, operands=None, into=None)


def _head(weight: Tensor, temperature: float) -> Head:
    return Head(weight, None, temperature, None, 1.0, None, None, None)


def _two_steps(impl: str) -> Any:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.linear_logprobs.{impl}")
