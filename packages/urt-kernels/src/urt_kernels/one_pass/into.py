"""The one pass with the weight's gradient added to a buffer of the caller's: the parameter's own, or an fp32 main
gradient.

An op that changes a buffer has no gradient in torch, so that these are two: the pass, which leaves the gradients of
hidden states and bias beside the loss, and a loss that has them as its own. A compiler sees both as they are.
"""

from typing import Any, get_type_hints

import torch
from torch import Tensor

from urt_kernels.one_pass.op import Arguments, Outputs, empty, run, schema

INTO = {"weight_grad": Tensor, **get_type_hints(Arguments)}


@torch.library.custom_op(
    "urt_kernels::linear_loss_into",
    mutates_args=("weight_grad",),
    schema=schema(INTO, 7, changed=("weight_grad",)),
)
def linear_loss_into_op(weight_grad: Tensor, *arguments: Any) -> Outputs:
    """That of `linear_loss`, with no elements in the weight's gradient."""
    return run(Arguments(*arguments), weight_grad)


@linear_loss_into_op.register_fake
def _fake(weight_grad: Tensor, *arguments: Any) -> Outputs:
    *others, by_weight, by_bias = empty(Arguments(*arguments))
    return *others, by_weight.new_empty(0), by_bias  # pyright: ignore[reportReturnType]


@torch.library.custom_op("urt_kernels::loss_with_gradients", mutates_args=())
def loss_with_gradients_op(
    loss: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    by_hidden: Tensor,
    by_bias: Tensor,
    assumed: Tensor,
) -> Tensor:
    """The loss as a function of hidden states, weight and bias. The weight, whose gradient is where it belongs, gets
    none."""
    return loss.clone()


@loss_with_gradients_op.register_fake
def _loss_fake(
    loss: Tensor,
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    by_hidden: Tensor,
    by_bias: Tensor,
    assumed: Tensor,
) -> Tensor:
    return torch.empty_like(loss)


@torch.library.custom_op("urt_kernels::upstream_over_assumed", mutates_args=())
def upstream_over_assumed_op(upstream: Tensor, assumed: Tensor) -> Tensor:
    """What the gradients still have to be multiplied by. Both are looked at on the CPU alone, since a GPU would be
    waited for."""
    if upstream.device.type == "cpu" and not torch.isclose(upstream.double(), assumed.double(), rtol=1e-5):
        raise ValueError(
            f"upstream={float(assumed):g}, but the loss got the gradient {float(upstream):g}: the weight's gradient was"
            " added to weight_grad with the first. Give the factor that the loss is multiplied by."
        )
    return upstream / assumed


@upstream_over_assumed_op.register_fake
def _factor_fake(upstream: Tensor, assumed: Tensor) -> Tensor:
    return torch.empty_like(upstream)


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, hidden, _, bias, *known = inputs
    ctx.save_for_backward(*known)
    ctx.dtypes = (hidden.dtype, None if bias is None else bias.dtype)


def _backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor | None, ...]:
    by_hidden, by_bias, assumed = ctx.saved_tensors
    factor = upstream_over_assumed_op(grad_loss, assumed)
    hidden = (by_hidden * factor).to(ctx.dtypes[0]) if ctx.needs_input_grad[1] else None
    bias = (by_bias * factor).to(ctx.dtypes[1]) if ctx.needs_input_grad[3] else None
    return None, hidden, None, bias, None, None, None


loss_with_gradients_op.register_autograd(_backward, setup_context=_setup_context)


def loss_into(weight_grad: Tensor, given: Arguments) -> Outputs:
    """The op of `linear_loss`; the gradient of the weight goes to ``weight_grad`` during the call."""
    hidden, weight, bias = given[:3]
    detached = given._replace(
        hidden=hidden.detach(), weight=weight.detach(), bias=None if bias is None else bias.detach()
    )
    loss, *others = linear_loss_into_op(weight_grad, *detached)
    own = loss_with_gradients_op(loss, hidden, weight, bias, others[3], others[5], given.assumed)
    return own, *others  # pyright: ignore[reportReturnType]
