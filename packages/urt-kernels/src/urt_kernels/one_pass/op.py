"""torch.ops.urt_kernels.linear_loss: forward leaves the gradients, backward scales them by the upstream gradient."""

from collections.abc import Sequence
from importlib import import_module
from inspect import Parameter, Signature
from types import ModuleType
from typing import Any, NamedTuple, get_type_hints

import torch
from torch import Tensor

from urt_kernels.checks import check_targets, compute_dtype, exact
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.one_pass.held import WHOLE, Held, HeldWhole
from urt_kernels.one_pass.part_by_part import local_targets
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


class Arguments(NamedTuple):
    """What the op takes, in its order; its schema is read from here.

    >>> linear_loss_op(*Arguments(hidden, weight, None, targets, *head, ...))
    """

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    targets: Tensor
    temperature: float
    temperatures: Tensor | None
    logit_scale: float
    softcap: float | None
    allowed: Tensor | None
    operands: torch.dtype | None
    old: Tensor | None
    rollout: Tensor | None
    reference_logprobs: Tensor | None
    advantages: Tensor | None
    weights: Tensor
    sequences: Tensor
    num_sequences: int
    rows: Tensor
    numbers: Sequence[float]
    kl: str
    ratio: str
    aggregation: str
    surrogate: str
    assumed: Tensor
    together: int
    entropy: bool
    needs_hidden: bool
    needs_weight: bool
    needs_bias: bool
    spread: str
    vocabulary: int
    block: int
    group: str
    impl: str
    validate: bool

    @property
    def head(self) -> Head:
        how = (self.temperature, self.temperatures, self.logit_scale, self.softcap, self.allowed, self.operands)
        return Head(self.weight, self.bias, *how)

    @property
    def tokens(self) -> Tokens:
        constants = (self.old, self.rollout, self.reference_logprobs, self.advantages)
        return Tokens(*constants, self.weights, self.sequences, self.num_sequences, self.rows)

    @property
    def settings(self) -> GRPOSettings:
        return GRPOSettings.of(self.numbers, self.kl, self.ratio, self.aggregation, self.surrogate)

    def options(self, weight_grad: Tensor | None) -> Pass:
        needs = (self.needs_hidden, self.needs_weight, self.needs_bias)
        return Pass(needs, self.assumed, weight_grad, self.together, self.entropy)


def schema(arguments: dict[str, Any], outputs: int, *, changed: tuple[str, ...] = ()) -> str:
    """Of an op that takes these names and types and gives so many tensors."""

    def prototype() -> None: ...

    parameters = [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, annotation=kind) for name, kind in arguments.items()]
    signature = Signature(parameters, return_annotation=tuple[(Tensor,) * outputs])  # pyright: ignore[reportInvalidTypeForm]
    vars(prototype)["__signature__"] = signature
    return torch.library.infer_schema(prototype, mutates_args=changed)


@torch.library.custom_op("urt_kernels::linear_loss", mutates_args=(), schema=schema(get_type_hints(Arguments), 7))
def linear_loss_op(*arguments: Any) -> Outputs:
    return run(Arguments(*arguments), None)


def run(given: Arguments, weight_grad: Tensor | None) -> Outputs:
    """The weight's gradient is added to ``weight_grad``, or is an output."""
    if given.validate:
        check_targets(given.targets, given.vocabulary, None)
    head, targets, options = given.head, given.targets, given.options(weight_grad)
    held: Held = HeldWhole(head.weight)
    if given.spread != WHOLE:
        held, head, targets = _over_ranks(given, head, weight_grad)
    with exact(given.hidden):
        loss, logprobs, entropies, top1, gradients = _implementation(given.impl).forward(
            given.hidden, head, targets, given.tokens, given.settings, options, held
        )
    by_hidden, by_weight, by_bias = gradients
    if given.needs_bias:
        by_bias = held.bias_gradient(by_bias)
    entropies = entropies if given.entropy else entropies.new_empty(0)
    return loss, logprobs, entropies, top1, by_hidden, by_weight, by_bias


def _over_ranks(given: Arguments, head: Head, into: Tensor | None) -> tuple[Held, Head, Tensor]:
    """The weight over the ranks of the group, and head and targets as this rank computes with them."""
    from urt_kernels.sharded.held import held_over_ranks

    held = held_over_ranks(
        given.spread,
        given.weight,
        vocabulary=given.vocabulary,
        block=given.block,
        group=given.group,
        operands=given.operands,
        into=into,
    )
    allowed = None if head.allowed is None else head.allowed[:, held.columns]
    bias = None if head.bias is None else held.whole_bias(head.bias)
    return held, head._replace(bias=bias, allowed=allowed), local_targets(given.targets, held.columns)


@linear_loss_op.register_fake
def _fake(*arguments: Any) -> Outputs:
    return empty(Arguments(*arguments))


def empty(given: Arguments) -> Outputs:
    """Outputs of the right shapes and types."""
    hidden, weight, bias = given.hidden, given.weight, given.bias
    per_row = hidden.new_empty(given.targets.shape, dtype=compute_dtype(hidden, weight, bias))
    return (
        per_row.new_empty(()),
        per_row,
        torch.empty_like(per_row) if given.entropy else per_row.new_empty(0),
        torch.empty_like(per_row, dtype=torch.bool),
        hidden.new_empty(hidden.shape if given.needs_hidden else (0,)),
        per_row.new_empty(weight.shape if given.needs_weight else (0,)),
        per_row.new_empty(bias.shape if bias is not None and given.needs_bias else (0,)),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, *others = output
    ctx.mark_non_differentiable(*others)
    ctx.save_for_backward(Arguments(*inputs).assumed, *others[3:])
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
