"""The clipped policy-gradient loss of GRPO and its variants."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from urt_kernels.checks import (
    FLOATS,
    INTEGERS,
    check_choice,
    check_dtype,
    check_not_negative,
    check_positive,
    check_same_device,
    check_shape,
)
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.grpo_loss.op import grpo_loss_op
from urt_kernels.grpo_loss.result import GRPOLoss, GRPOSettings
from urt_kernels.shapes import Float, Number, Shaped

__all__ = ["GRPOLoss", "grpo_loss"]

KINDS = ("k1", "k2", "k3")
RATIOS = ("token", "sequence")
AGGREGATIONS = ("grpo", "dapo", "dr_grpo")


def grpo_loss(
    policy_logprobs: Float[Tensor, "B T"],
    rollout_logprobs: Float[Tensor, "B T"],
    advantages: Float[Tensor, "*_"],
    completion_mask: Shaped[Tensor, "B T"],
    *,
    reference_logprobs: Float[Tensor, "B T"] | None = None,
    old_logprobs: Float[Tensor, "B T"] | None = None,
    clip_low: Number = 0.2,
    clip_high: Number = 0.2,
    dual_clip: Number | None = None,
    importance_cap: Number = 2.0,
    kl_coef: Number = 0.0,
    kl: Literal["k1", "k2", "k3"] = "k3",
    kl_clamp: Number | None = 10.0,
    ratio: Literal["token", "sequence"] = "token",
    aggregation: Literal["grpo", "dapo", "dr_grpo"] = "grpo",
    num_tokens: Number | Tensor | None = None,
    num_sequences: Number | Tensor | None = None,
    impl: Impl = "auto",
) -> GRPOLoss:
    """Mean over the completion tokens of ``-w min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + kl_coef KL``.

    Advantages are ``[B]`` or ``[B, T]``. What lies outside ``completion_mask`` is never read into the result.

    - r: exp(policy - old) per token (PPO, arXiv 1707.06347, eq. 7; GRPO, arXiv 2402.03300, eq. 3), or with ``ratio="sequence"``
      exp of its mean over the completion (GSPO, arXiv 2507.18071, eq. 7). old is ``rollout_logprobs`` unless ``old_logprobs``
      (the trainer's own at rollout time) is given; then w = min(exp(old - rollout), importance_cap), truncated importance
      sampling (Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training"); else w = 1.
    - ``clip_high`` above ``clip_low`` is DAPO's clip-higher (arXiv 2503.14476). ``dual_clip`` c bounds the objective by c A
      for A < 0 (arXiv 1912.09729, eq. 5).
    - KL(policy || reference) per token with d = reference - policy: k1 = -d, k2 = d^2 / 2, k3 = exp(d) - d - 1 (Schulman 2020,
      "Approximating KL divergence"). d is clamped to +-20 and the estimate to +-``kl_clamp`` (10, as in verl; None: not at all),
      without gradient beyond.
    - Aggregation, with L_i the completion length: ``grpo`` sum_i (1 / L_i) sum_t / num_sequences (arXiv 2402.03300); ``dapo``
      sum / num_tokens (arXiv 2503.14476); ``dr_grpo`` sum / num_tokens where num_tokens is a constant budget, B times the
      longest allowed completion (arXiv 2503.20783).

    ``num_sequences`` and ``num_tokens`` are the divisors over all micro-batches and ranks; the losses then add up to that of
    the whole batch. Left out, they are those of this call: sequences that have a completion token, completion tokens, and
    for ``dr_grpo`` B T. Under a strategy that averages gradients over ranks, divide them by the number of ranks.
    """
    _check(policy_logprobs, rollout_logprobs, advantages, completion_mask, reference_logprobs, old_logprobs)
    check_choice("kl", kl, KINDS)
    check_choice("ratio", ratio, RATIOS)
    check_choice("aggregation", aggregation, AGGREGATIONS)
    check_not_negative("clip_low", clip_low)
    check_not_negative("clip_high", clip_high)
    check_not_negative("kl_coef", kl_coef)
    check_positive("importance_cap", importance_cap)
    if clip_low > 1:
        raise ValueError(f"clip_low={clip_low}: it must be at most 1 (the ratio is clipped at 1 - clip_low).")
    if dual_clip is not None and not dual_clip > 1:
        raise ValueError(f"dual_clip={dual_clip}: it must be above 1, or None.")
    if kl_clamp is not None:
        check_positive("kl_clamp", kl_clamp)
    if kl_coef > 0 and reference_logprobs is None:
        raise ValueError(f"reference_logprobs=None with kl_coef={kl_coef}: give them, or set kl_coef to 0.")
    normalizer = _normalizer(aggregation, num_tokens, num_sequences, policy_logprobs)
    settings = GRPOSettings(
        clip_low=float(clip_low),
        clip_high=float(clip_high),
        dual_clip=None if dual_clip is None else float(dual_clip),
        importance_cap=float(importance_cap),
        kl_coef=float(kl_coef),
        kl=kl,
        kl_clamp=None if kl_clamp is None else float(kl_clamp),
        ratio=ratio,
        aggregation=aggregation,
    )
    loss, _, _, metrics = grpo_loss_op(
        policy_logprobs,
        rollout_logprobs if old_logprobs is None else old_logprobs,
        None if old_logprobs is None else rollout_logprobs,
        reference_logprobs,
        advantages if advantages.dim() == 2 else advantages[:, None],
        completion_mask,
        normalizer,
        *settings,
        resolve(impl, policy_logprobs.device, operation="grpo_loss", unsupported=no_fp64(policy_logprobs)),
    )
    return GRPOLoss(loss, *metrics.unbind())


def _check(
    policy: Tensor,
    rollout: Tensor,
    advantages: Tensor,
    mask: Tensor,
    reference: Tensor | None,
    old: Tensor | None,
) -> None:
    if policy.dim() != 2:
        raise ValueError(f"policy_logprobs has shape {list(policy.shape)}: it must be [B, T].")
    check_dtype("policy_logprobs", policy, FLOATS)
    shape = (policy.shape[0], policy.shape[1])
    for name, values in {
        "rollout_logprobs": rollout,
        "reference_logprobs": reference,
        "old_logprobs": old,
    }.items():
        if values is not None:
            check_shape(name, values, shape, meaning="that of policy_logprobs")
            check_dtype(name, values, FLOATS)
    check_shape("completion_mask", mask, shape, meaning="that of policy_logprobs")
    check_dtype("completion_mask", mask, (torch.bool, torch.uint8, *INTEGERS, *FLOATS))
    check_dtype("advantages", advantages, FLOATS)
    if tuple(advantages.shape) not in ((policy.shape[0],), shape):
        raise ValueError(
            f"advantages has shape {list(advantages.shape)}: it must be [{policy.shape[0]}] or {list(policy.shape)}."
        )
    check_same_device(
        policy_logprobs=policy,
        rollout_logprobs=rollout,
        advantages=advantages,
        completion_mask=mask,
        reference_logprobs=reference,
        old_logprobs=old,
    )


def _normalizer(
    aggregation: str,
    num_tokens: Number | Tensor | None,
    num_sequences: Number | Tensor | None,
    like: Tensor,
) -> Tensor | None:
    """The divisor given from outside, as a 0-d tensor; refuses the one that the aggregation would not read."""
    read, unread = ("num_sequences", "num_tokens") if aggregation == "grpo" else ("num_tokens", "num_sequences")
    given = {"num_tokens": num_tokens, "num_sequences": num_sequences}
    if given[unread] is not None:
        raise ValueError(f"{unread}={given[unread]} with aggregation={aggregation!r}: its divisor is {read}.")
    value = given[read]
    if value is None or isinstance(value, Tensor):
        return value
    check_positive(read, value)
    return torch.full((), float(value), dtype=torch.float64, device=like.device)
