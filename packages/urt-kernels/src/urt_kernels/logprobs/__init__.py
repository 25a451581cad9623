"""Log-probs of chosen tokens from logits."""

from __future__ import annotations

from torch import Tensor

from urt_kernels.checks import FLOATS, INTEGERS, check_dtype, check_same_device, check_shape, check_temperature
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.logprobs.op import token_logprobs_op
from urt_kernels.logprobs.result import IGNORE_TARGET, TokenLogprobs
from urt_kernels.shapes import Float, Int, Number

__all__ = ["IGNORE_TARGET", "TokenLogprobs", "token_logprobs"]


def token_logprobs(
    logits: Float[Tensor, "*N V"],
    targets: Int[Tensor, "*N"],
    *,
    temperature: Number | Float[Tensor, "*N"],
    entropy: bool = False,
    inplace_backward: bool = False,
    validate_targets: bool = True,
    impl: Impl = "auto",
) -> TokenLogprobs:
    """Log-prob of each row's target under softmax(logits / temperature), in fp32, in one pass over the logits.

    The gradient is that of the exact formula, entropy and lse included. Logits may have any strides; ``temperature`` is
    one number, or one for each row. A row with a NaN logit is NaN, its neighbours are not. ``inplace_backward`` lets
    the backward pass write the gradient over the logits, which saves their size in memory; autograd refuses where
    something else still needs them. ``validate_targets=False`` skips the check of the targets' values, which on a GPU
    waits for the device; a target out of range then gives NaN in its row.
    """
    if logits.dim() == 0 or logits.shape[-1] == 0:
        raise ValueError(f"logits has shape {list(logits.shape)}: it must be [..., V] with V of at least 1.")
    check_dtype("logits", logits, FLOATS)
    check_dtype("targets", targets, INTEGERS)
    check_shape("targets", targets, tuple(logits.shape[:-1]), meaning="that of logits without its last axis")
    check_same_device(logits=logits, targets=targets)
    number, temperatures = check_temperature(temperature, targets)
    chosen = resolve(impl, logits.device, operation="token_logprobs", unsupported=no_fp64(logits))
    logprobs, entropies, top1, lse = token_logprobs_op(
        logits, targets, number, temperatures, entropy, inplace_backward, chosen, validate_targets
    )
    return TokenLogprobs(logprobs, entropies if entropy else None, top1, lse)
