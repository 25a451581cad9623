"""The one pass with the weight's gradient added to a buffer of the caller's: the parameter's own, or an fp32 main
gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import check_targets
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.one_pass.op import ASSUMED, Outputs, Pass, run
from urt_kernels.policy_loss.objective import Tokens
from urt_kernels.policy_loss.settings import GRPOSettings


class _LossInto(torch.autograd.Function):
    """Arguments are the buffer and those of the op, in its order."""

    @staticmethod
    def forward(ctx: Any, weight_grad: Tensor, *arguments: Any) -> Outputs:
        hidden, weight, bias, targets = arguments[:4]
        assumed, together, entropy, *others = arguments[ASSUMED:]
        needs, spread, (impl, validate) = others[:3], others[3:7], others[7:]
        if validate:
            check_targets(targets, spread[1], None)
        head, tokens = Head(weight, bias, *arguments[4:10]), Tokens(*arguments[10:18])
        options = Pass(tuple(needs), assumed, weight_grad, together, entropy)
        outputs = run(
            hidden, head, targets, tokens, GRPOSettings.of(*arguments[18:ASSUMED]), options, tuple(spread), impl
        )
        ctx.mark_non_differentiable(*outputs[1:])
        ctx.save_for_backward(assumed, outputs[4], outputs[6])
        ctx.dtypes = (hidden.dtype, None if bias is None else bias.dtype)
        ctx.num_inputs = len(arguments) + 1
        return outputs

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, *_: Any) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        assumed, grad_hidden, grad_bias = ctx.saved_tensors
        if grad_loss.device.type == "cpu" and not torch.isclose(grad_loss.double(), assumed.double(), rtol=1e-5):
            raise ValueError(
                f"upstream={float(assumed):g}, but the loss got the gradient {float(grad_loss):g}: the weight's gradient was"
                " added to weight_grad with the first. Give the factor that the loss is multiplied by."
            )
        factor = grad_loss / assumed
        hidden = (grad_hidden * factor).to(ctx.dtypes[0]) if ctx.needs_input_grad[1] else None
        bias = (grad_bias * factor).to(ctx.dtypes[1]) if ctx.needs_input_grad[3] else None
        return None, hidden, None, bias, *[None] * (ctx.num_inputs - 4)


def loss_into(weight_grad: Tensor, *arguments: Any) -> Outputs:
    """The op of `linear_loss`; the gradient of the weight goes to ``weight_grad`` during the call."""
    return _LossInto.apply(weight_grad, *arguments)  # pyright: ignore[reportReturnType]
