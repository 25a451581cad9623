"""Log-probs of chosen tokens straight from hidden states and the head's weight."""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.linear_logprobs.arguments import check_head, head_arguments, live_rows, placed, rows_of
from urt_kernels.linear_logprobs.op import linear_token_logprobs_op
from urt_kernels.logprobs.result import TokenLogprobs
from urt_kernels.shapes import Bool, Float, Int, Number

__all__ = ["linear_token_logprobs"]


def linear_token_logprobs(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    targets: Int[Tensor, "*N"],
    *,
    temperature: Number | Float[Tensor, "*N"],
    bias: Float[Tensor, " V"] | None = None,
    logit_scale: Number = 1.0,
    softcap: Number | None = None,
    allowed: Bool[Tensor, "*N V"] | None = None,
    operands: torch.dtype | None = None,
    entropy: bool = False,
    mask: Bool[Tensor, "*N"] | None = None,
    validate_targets: bool = True,
    impl: Impl = "auto",
) -> TokenLogprobs:
    """Log-probs of ``targets`` under softmax(softcap(logit_scale (hidden W' + bias)) / temperature), forward and
    backward without the ``[N, V]`` logits.

    Logits are fp32 products of the operands as they are, autocast or not (bf16 in, fp32 accumulated and kept); operands
    of two types are multiplied in the wider one. ``operands=torch.bfloat16`` rounds both to that type first, which is
    what makes an fp32 weight fast on a GPU; gradients have the types of their operands. The workspace does not depend
    on the number of rows, the weight gradient is summed in fp32, and a row's bits do not depend on its neighbours. Rows
    outside ``mask`` never reach the head: they read zero (top1 False) and give no gradient. ``weight`` is a plain
    tensor: `urt_kernels.sharded` takes one that is spread over ranks.

    ``softcap`` c: c tanh(z / c) (Gemma 2, arXiv 2408.00118, section 2). ``logit_scale``: Cohere's models.
    ``temperature``: one number, or one for each row. ``allowed``: the tokens each row's sampler chose from (top-k,
    top-p), all others have probability 0.
    """
    check_head(hidden, weight, targets, bias, mask)
    live = live_rows(mask)
    head = head_arguments(
        targets,
        weight.shape[0],
        temperature,
        live,
        logit_scale=logit_scale,
        softcap=softcap,
        allowed=allowed,
        operands=operands,
    )
    chosen = resolve(impl, hidden.device, operation="linear_token_logprobs", unsupported=no_fp64(hidden, weight, bias))
    logprobs, entropies, top1, lse = linear_token_logprobs_op(
        rows_of(hidden, live, trailing=1),
        weight,
        bias,
        rows_of(targets, live),
        *head,
        entropy,
        chosen,
        validate_targets,
    )
    return TokenLogprobs(
        placed(logprobs, live, targets),
        placed(entropies, live, targets) if entropy else None,
        placed(top1, live, targets),
        placed(lse, live, targets),
    )
