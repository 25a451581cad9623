"""linear_loss: any token-level objective of a linear head."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from urt_kernels.checks import FLOATS, check_dtype, check_same_device, check_shape, compute_dtype
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.linear_logprobs.arguments import check_head, head_arguments, live_rows, placed, rows_of
from urt_kernels.one_pass.held import WHOLE, SpreadWeight
from urt_kernels.one_pass.into import loss_into
from urt_kernels.one_pass.op import Arguments, linear_loss_op
from urt_kernels.one_pass.result import LinearLoss
from urt_kernels.one_pass.weights import sequence_numbers, token_weights
from urt_kernels.packed import check_offsets
from urt_kernels.policy_loss import grpo_loss
from urt_kernels.policy_loss.arguments import boolean_mask, check_batch, checked_normalizer
from urt_kernels.policy_loss.result import GRPOLoss
from urt_kernels.policy_loss.settings import Aggregation, Clips, GRPOSettings, checked_settings, op_arguments
from urt_kernels.shapes import Bool, Float, Int, Number, Shaped
from urt_kernels.surrogates import TOGETHER, Surrogate


def linear_loss(
    hidden: Float[Tensor, "*N H"],
    weight: Float[Tensor, "V H"] | SpreadWeight,
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
    `linear_token_logprobs`, those of the objective (clip, KL, aggregation, divisors) of `grpo_loss`. A weight that ranks
    hold in parts comes through `urt_kernels.sharded`.

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
    if isinstance(weight, Tensor):
        check_head(hidden, weight, targets, bias, None)
        weight = SpreadWeight(weight, WHOLE, len(weight), 0, "")
    own = weight.own
    if weight_grad is not None:
        check_shape("weight_grad", weight_grad, tuple(own.shape), meaning="that of weight")
        check_dtype("weight_grad", weight_grad, FLOATS)
        check_same_device(weight=own, weight_grad=weight_grad)
    settings = checked_settings(**objective, surrogate=surrogate, aggregation=aggregation, entropy_coef=entropy_coef)
    whole = torch.ones_like(targets, dtype=torch.bool) if mask is None else mask
    check_batch(
        targets,
        rollout_logprobs=rollout_logprobs,
        advantages=advantages,
        mask=whole,
        reference_logprobs=reference_logprobs,
        old_logprobs=old_logprobs,
        cu_seqlens=cu_seqlens,
        kl_coef=settings.kl_coef,
        like_name="targets",
        mask_name="mask",
    )
    whole = boolean_mask("mask", whole)
    if cu_seqlens is not None:
        total, meaning = targets.shape[0], "the number of packed rows"
        check_offsets("cu_seqlens", cu_seqlens, total, targets.device, meaning=meaning, look=validate_targets)
    live = None if mask is None else live_rows(whole)
    head = head_arguments(
        targets,
        weight.vocabulary,
        temperature,
        live,
        logit_scale=logit_scale,
        softcap=softcap,
        allowed=allowed,
        operands=operands,
    )
    chosen = resolve(impl, hidden.device, operation="linear_loss", unsupported=no_fp64(hidden, own, bias))
    dtype = compute_dtype(hidden, own, bias)
    numbers, count = sequence_numbers(targets, cu_seqlens)
    rows = torch.arange(targets.numel(), device=targets.device) if live is None else live
    sequences = numbers[rows]
    divisor = checked_normalizer(aggregation, num_tokens, num_sequences, whole)
    weights = token_weights(
        sequences, count, aggregation, divisor, budget=None if cu_seqlens is not None else whole.numel()
    )
    track = torch.is_grad_enabled()
    given = Arguments(
        hidden=rows_of(hidden, live, trailing=1),
        weight=own,
        bias=bias,
        targets=rows_of(targets, live),
        **head._asdict(),
        old=_live(rollout_logprobs if old_logprobs is None else old_logprobs, live, dtype),
        rollout=_live(None if old_logprobs is None else rollout_logprobs, live, dtype),
        reference_logprobs=_live(reference_logprobs, live, dtype),
        advantages=_live(_per_token(advantages, targets, numbers, count), live, dtype),
        weights=weights.to(dtype),
        sequences=sequences,
        num_sequences=count,
        rows=rows,
        **op_arguments(settings)._asdict(),
        assumed=_assumed(upstream, weights, operands or hidden.dtype),
        together=_together(settings, sequences_together),
        entropy=entropy or settings.entropy_coef > 0,
        needs_hidden=track and hidden.requires_grad,
        needs_weight=track and own.requires_grad,
        needs_bias=track and bias is not None and bias.requires_grad,
        spread=weight.kind,
        vocabulary=weight.vocabulary,
        block=weight.block,
        group=weight.group,
        impl=chosen,
        validate=validate_targets,
    )
    loss, logprobs, entropies, top1, *_ = (
        linear_loss_op(*given) if weight_grad is None or not given.needs_weight else loss_into(weight_grad, given)
    )
    policy = placed(logprobs, live, targets)
    sums = None
    if rollout_logprobs is not None and advantages is not None:
        _, *others = _sums(
            policy, rollout_logprobs, advantages, whole, reference_logprobs, old_logprobs, cu_seqlens, settings, impl
        )
        sums = GRPOLoss(loss.detach(), *others)
    own_entropy = placed(entropies, live, targets) if given.entropy else None
    return LinearLoss(loss, policy, own_entropy, placed(top1, live, targets), sums)


def _live(values: Tensor | None, live: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if values is None else rows_of(values, live).to(dtype)


def _together(settings: GRPOSettings, asked: int | None) -> int:
    if asked is not None:
        if not asked >= 0:
            raise ValueError(f"sequences_together={asked}: it must be at least 0.")
        return max(asked, int(settings.ratio == "sequence"))
    return max(TOGETHER.get(settings.surrogate, 0), int(settings.ratio == "sequence"))


def _assumed(upstream: Number | Tensor | None, weights: Tensor, operands: torch.dtype) -> Tensor:
    """The upstream gradient that the gradients are formed for. For fp16, whose gradients would underflow before a loss
    scale reaches them, that which brings the largest weight to 1."""
    if isinstance(upstream, Tensor):
        if upstream.numel() != 1:
            raise ValueError(f"upstream has shape {list(upstream.shape)}: it must be one number.")
        return upstream.detach().reshape(()).to(weights.device)
    if upstream is not None:
        if not (upstream == upstream and abs(upstream) < float("inf") and upstream != 0):
            raise ValueError(f"upstream={upstream}: it must be a finite number other than 0.")
        return weights.new_full((), float(upstream))
    if operands != torch.float16 or len(weights) == 0:
        return weights.new_ones(())
    return 1.0 / weights.amax().clamp(min=1e-30)


def _per_token(advantages: Tensor | None, targets: Tensor, numbers: Tensor, count: int) -> Tensor | None:
    """Advantages of sequences or tokens as one for each row of the targets."""
    if advantages is None or (advantages.shape == targets.shape and targets.dim() > 1):
        return advantages
    if advantages.numel() == count:
        return advantages.reshape(-1)[numbers].reshape(targets.shape)
    return advantages


def _sums(
    policy: Tensor,
    rollout: Tensor,
    advantages: Tensor,
    mask: Tensor,
    reference: Tensor | None,
    old: Tensor | None,
    cu_seqlens: Tensor | None,
    settings: GRPOSettings,
    impl: Impl,
) -> GRPOLoss:
    """The sums of `grpo_loss`; for a surrogate of a user's own, the clips of "clip"."""
    own = {name: getattr(settings, name) for name in Clips.__annotations__}
    with torch.no_grad():
        return grpo_loss(
            policy,
            rollout,
            advantages,
            mask,
            reference_logprobs=reference,
            old_logprobs=old,
            cu_seqlens=cu_seqlens,
            surrogate=settings.surrogate if settings.surrogate == "cispo" else "clip",
            aggregation=settings.aggregation,  # pyright: ignore[reportArgumentType]  checked
            num_tokens=None if settings.aggregation == "grpo" else 1.0,
            impl=impl,
            **own,
        )
