"""torch.ops.urt_kernels.linear_loss: forward leaves the gradients, backward scales them by the upstream gradient."""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from urt_kernels.checks import check_targets, compute_dtype, exact
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.one_pass.held import WHOLE, Held, HeldWhole
from urt_kernels.policy_loss.objective import Tokens
from urt_kernels.policy_loss.settings import GRPOSettings


class Pass(NamedTuple):
    """How the pass runs.

    >>> Pass(needs=(True, True, False), assumed=torch.tensor(1.0), weight_grad=None, together=0, entropy=False)
    """

    needs: tuple[bool, bool, bool]
    """Gradients to form: hidden, weight, bias."""
    assumed: Tensor
    """The upstream gradient that the gradients are formed for, 0-d."""
    weight_grad: Tensor | None
    """Where the weight's gradient is added to, in place of a tensor of its own."""
    together: int
    """Neighbouring sequences that must be in one chunk."""
    entropy: bool

    @property
    def differentiates(self) -> bool:
        return any(self.needs)


Outputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@torch.library.custom_op("urt_kernels::linear_loss", mutates_args=())
def linear_loss_op(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    logit_scale: float,
    softcap: float | None,
    allowed: Tensor | None,
    operands: torch.dtype | None,
    old: Tensor | None,
    rollout: Tensor | None,
    reference_logprobs: Tensor | None,
    advantages: Tensor | None,
    weights: Tensor,
    sequences: Tensor,
    num_sequences: int,
    rows: Tensor,
    numbers: Sequence[float],
    kl: str,
    ratio: str,
    aggregation: str,
    surrogate: str,
    assumed: Tensor,
    together: int,
    entropy: bool,
    needs_hidden: bool,
    needs_weight: bool,
    needs_bias: bool,
    spread: str,
    vocabulary: int,
    block: int,
    group: str,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    if validate:
        check_targets(targets, vocabulary, None)
    head = Head(weight, bias, temperature, temperatures, logit_scale, softcap, allowed, operands)
    tokens = Tokens(old, rollout, reference_logprobs, advantages, weights, sequences, num_sequences, rows)
    settings = GRPOSettings.of(numbers, kl, ratio, aggregation, surrogate)
    options = Pass((needs_hidden, needs_weight, needs_bias), assumed, None, together, entropy)
    return run(hidden, head, targets, tokens, settings, options, (spread, vocabulary, block, group), impl)


def run(
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    tokens: Tokens,
    settings: GRPOSettings,
    options: Pass,
    spread: tuple[str, int, int, str],
    impl: str,
) -> Outputs:
    """``spread``: how the weight is held (WHOLE, "vocabulary" or "shards"), columns of all, of a block, name of the group."""
    held: Held = HeldWhole(head.weight)
    if spread[0] != WHOLE:
        held, head, targets = _over_ranks(head, targets, options.weight_grad, *spread)
    with exact(hidden):
        loss, logprobs, entropies, top1, gradients = _implementation(impl).forward(
            hidden, head, targets, tokens, settings, options, held
        )
    by_hidden, by_weight, by_bias = gradients
    if options.needs[2]:
        by_bias = held.bias_gradient(by_bias)
    entropies = entropies if options.entropy else entropies.new_empty(0)
    return loss, logprobs, entropies, top1, by_hidden, by_weight, by_bias


def _over_ranks(
    head: Head, targets: Tensor, into: Tensor | None, spread: str, vocabulary: int, block: int, group: str
) -> tuple[Held, Head, Tensor]:
    """The weight over the ranks of the group, and head and targets as this rank computes with them."""
    from urt_kernels.sharded.held import held_over_ranks

    held = held_over_ranks(
        spread, head.weight, vocabulary=vocabulary, block=block, group=group, operands=head.operands, into=into
    )
    own = held.columns
    inside = (targets >= own.start) & (targets < own.stop)
    allowed = None if head.allowed is None else head.allowed[:, own]
    bias = None if head.bias is None else held.whole_bias(head.bias)
    return held, head._replace(bias=bias, allowed=allowed), torch.where(inside, targets - own.start, -1)


@linear_loss_op.register_fake
def _fake(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    temperature: float,
    temperatures: Tensor | None,
    logit_scale: float,
    softcap: float | None,
    allowed: Tensor | None,
    operands: torch.dtype | None,
    old: Tensor | None,
    rollout: Tensor | None,
    reference_logprobs: Tensor | None,
    advantages: Tensor | None,
    weights: Tensor,
    sequences: Tensor,
    num_sequences: int,
    rows: Tensor,
    numbers: Sequence[float],
    kl: str,
    ratio: str,
    aggregation: str,
    surrogate: str,
    assumed: Tensor,
    together: int,
    entropy: bool,
    needs_hidden: bool,
    needs_weight: bool,
    needs_bias: bool,
    spread: str,
    vocabulary: int,
    block: int,
    group: str,
    impl: str,
    validate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    per_row = hidden.new_empty(targets.shape, dtype=compute_dtype(hidden, weight, bias))
    return (
        per_row.new_empty(()),
        per_row,
        torch.empty_like(per_row) if entropy else per_row.new_empty(0),
        torch.empty_like(per_row, dtype=torch.bool),
        hidden.new_empty(hidden.shape if needs_hidden else (0,)),
        per_row.new_empty(weight.shape if needs_weight else (0,)),
        per_row.new_empty(bias.shape if bias is not None and needs_bias else (0,)),
    )


ASSUMED = 23
"""Position of ``assumed`` among the op's arguments."""


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, *others = output
    ctx.mark_non_differentiable(*others)
    ctx.save_for_backward(inputs[ASSUMED], *others[3:])
    ctx.dtypes = [None if tensor is None else tensor.dtype for tensor in inputs[:3]]
    ctx.num_inputs = len(inputs)


def _backward(ctx: Any, grad_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    assumed, *gradients = ctx.saved_tensors
    factor = grad_loss / assumed
    # The product is rounded to the parameter's type on its way out: no second fp32 copy of the weight gradient.
    scaled = [
        torch.mul(gradient, factor, out=torch.empty_like(gradient, dtype=dtype)) if needed else None
        for gradient, dtype, needed in zip(gradients, ctx.dtypes, ctx.needs_input_grad, strict=False)
    ]
    return *scaled, *[None] * (ctx.num_inputs - len(scaled))


linear_loss_op.register_autograd(_backward, setup_context=_setup_context)


def _implementation(impl: str) -> ModuleType:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.one_pass.{impl}")
