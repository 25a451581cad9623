"""linear_loss: any token-level objective of a linear head."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from urt_kernels.dispatch import Impl
from urt_kernels.linear_logprobs.arguments import check_head
from urt_kernels.one_pass.op import WHOLE
from urt_kernels.one_pass.result import LinearLoss
from urt_kernels.one_pass.spread_loss import Spread, spread_loss
from urt_kernels.policy_loss.arguments import Aggregation, Clips
from urt_kernels.shapes import Bool, Float, Int, Number, Shaped
from urt_kernels.surrogates import Surrogate


def linear_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"],
    targets: Int[Tensor, "*N"],
    *,
    surrogate: str | Surrogate,
    temperature: Number | Float[Tensor, "*N"],
    mask: Shaped[Tensor, "*N"] | None = None,
    cu_seqlens: Int[Tensor, " B_plus_1"] | None = None,
    rollout_logprobs: Float[Tensor, "*N"] | None = None,
    advantages: Float[Tensor, "*_"] | None = None,
    reference_logprobs: Float[Tensor, "*N"] | None = None,
    old_logprobs: Float[Tensor, "*N"] | None = None,
    bias: Float[Tensor, " V"] | None = None,
    logit_scale: Number = 1.0,
    softcap: Number | None = None,
    allowed: Bool[Tensor, "*N V"] | None = None,
    operands: torch.dtype | None = None,
    aggregation: Aggregation = "dapo",
    num_tokens: Number | Tensor | None = None,
    num_sequences: Number | Tensor | None = None,
    sequences_together: int | None = None,
    entropy: bool = False,
    entropy_coef: Number = 0.0,
    weight_grad: Float[Tensor, "V H"] | None = None,
    upstream: Number | Tensor | None = None,
    validate_targets: bool = True,
    impl: Impl = "auto",
    **objective: Unpack[Clips],
) -> LinearLoss:
    """sum_t w_t (surrogate_t + kl_coef KL_t - entropy_coef H_t) over the tokens of ``mask``, and its gradients, in one
    pass.

    Rows are ``[B, T]``, or packed ``[N]`` with ``cu_seqlens [B + 1]``. The surrogate reads a token's log-prob, so that
    the gradient can be formed while its logits are there: 6 N H V operations instead of the 8 of log-probs and backward
    pass (4 instead of 6 with a frozen weight). Only live tokens reach the head. The head's arguments are those of
    `linear_token_logprobs`, those of the objective (clip, KL, aggregation, divisors) of `grpo_loss`.

    - ``surrogate``: "clip", "cispo", "nll", "dpo", a function of `SurrogateInputs`, or its path "package.module:name".
    - ``sequences_together``: how many neighbouring sequences a token's slope depends on; 0 (left out) is that token
      alone, 1 its sequence (set by ``ratio="sequence"``), 2 a DPO pair. A chunk then ends where such a set does. Sets
      that fit into no chunk take a second pass over the head, for all rows.
    - ``entropy_coef``: a bonus on the entropy, with its gradient. ``entropy=True`` returns it, and shows it to the
      surrogate.
    - ``weight_grad``: a buffer (``weight.grad``, an fp32 main gradient) that this call adds the weight's gradient to at
      once, multiplied by ``upstream``; backward then has none to give. No tensor of the weight's size is made, filled
      or scaled where the buffer is fp32. Without gradient mode nothing is added.
    - ``validate_targets``: look at the values of targets and offsets, for which a GPU is waited for.
    - ``upstream``: the gradient that the loss will get from above in backward: its factor in the total, a loss scale.
      Without ``weight_grad`` any other is right too. Left out it is 1, for fp16 operands what keeps the gradients in
      range.
    """
    check_head(hidden, weight, targets, bias, None)
    return spread_loss(
        hidden,
        weight,
        targets,
        Spread(WHOLE, len(weight), 0, ""),
        surrogate=surrogate,
        temperature=temperature,
        mask=mask,
        cu_seqlens=cu_seqlens,
        rollout_logprobs=rollout_logprobs,
        advantages=advantages,
        reference_logprobs=reference_logprobs,
        old_logprobs=old_logprobs,
        bias=bias,
        logit_scale=logit_scale,
        softcap=softcap,
        allowed=allowed,
        operands=operands,
        aggregation=aggregation,
        num_tokens=num_tokens,
        num_sequences=num_sequences,
        sequences_together=sequences_together,
        entropy=entropy,
        entropy_coef=entropy_coef,
        weight_grad=weight_grad,
        upstream=upstream,
        validate_targets=validate_targets,
        impl=impl,
        **objective,
    )
