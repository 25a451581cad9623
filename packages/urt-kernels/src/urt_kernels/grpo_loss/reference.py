"""grpo_loss in plain PyTorch: the CPU kernel and the test oracle. Loss and gradient come from the same pass."""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.grpo_loss.result import GRPOSettings

# exp() of a log-ratio past this is of no use to a clipped objective and overflows in the end (verl clamps at the same value).
LOG_RATIO_CLAMP = 20.0


def forward(
    policy: Tensor,
    old: Tensor,
    rollout: Tensor | None,
    reference: Tensor | None,
    advantages: Tensor,
    mask: Tensor,
    normalizer: Tensor | None,
    settings: GRPOSettings,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(loss, d loss / d policy before the scale, scale = 1 / normaliser, metrics [12] in the order of GRPOLoss)."""
    dtype = compute_dtype(policy)
    mask = mask != 0
    lengths = mask.sum(-1, keepdim=True).to(dtype)
    num_tokens, num_sequences = lengths.sum(), (lengths > 0).sum().to(dtype)
    policy, old = (_inside(values, mask, dtype) for values in (policy, old))
    advantages = _inside(advantages, mask, dtype)

    log_ratio = policy - old
    if settings.ratio == "sequence":
        exponent = (log_ratio.sum(-1, keepdim=True) / lengths.clamp(min=1)).expand_as(log_ratio)
    else:
        exponent = log_ratio
    ratio = exponent.clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP).exp()
    objective, flows, clips = _clipped(ratio, advantages, settings)
    # d ratio / d log-ratio is the ratio, and 0 where the exponent is clamped.
    slope = advantages * ratio * (flows & (exponent.abs() <= LOG_RATIO_CLAMP))

    importance = torch.ones_like(ratio)
    capped = torch.zeros_like(mask)
    if rollout is not None:
        uncapped = (old - _inside(rollout, mask, dtype)).clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP).exp()
        importance, capped = uncapped.clamp(max=settings.importance_cap), uncapped > settings.importance_cap
    kl, kl_slope = torch.zeros_like(ratio), torch.zeros_like(ratio)
    if reference is not None:
        kl, kl_slope = _kl(_inside(reference, mask, dtype) - policy, settings)

    weight = mask.to(dtype)
    if settings.aggregation == "grpo":
        weight = weight / lengths.clamp(min=1)
    if normalizer is None:
        normalizer = {
            "grpo": num_sequences,
            "dapo": num_tokens,
            "dr_grpo": num_tokens.new_tensor(float(mask.numel())),
        }[settings.aggregation]
    scale = 1.0 / normalizer.to(dtype).clamp(min=1.0)

    policy_term = -importance * objective
    loss = (weight * (policy_term + settings.kl_coef * kl)).sum() * scale
    policy_slope = -importance * slope * weight
    if settings.ratio == "sequence":
        policy_slope = policy_slope.sum(-1, keepdim=True) * mask / lengths.clamp(min=1)
    gradient = policy_slope + settings.kl_coef * kl_slope * weight
    low, high, dual = clips
    kept = torch.where(mask, ratio, 0.0)
    sums = [
        policy_term * mask,
        kl * mask,
        kept,
        kept.amax() if kept.numel() else kept.sum(),
        log_ratio,
        low & mask,
        high & mask,
        dual & mask,
        importance * mask,
        capped & mask,
    ]
    metrics = torch.stack([num_tokens, num_sequences, *(value.sum().to(dtype) for value in sums)])
    return loss, gradient, scale, metrics


def _inside(values: Tensor, mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Values in the compute type, 0 outside the mask: whatever padding holds (NaN, -inf) never reaches an exp()."""
    return values.to(dtype).expand(mask.shape).masked_fill(~mask, 0.0)


def _clipped(
    ratio: Tensor, advantages: Tensor, settings: GRPOSettings
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """(objective, where its gradient flows, (clipped low, clipped high, clipped by the dual clip))."""
    positive, negative = advantages > 0, advantages < 0
    low = negative & (ratio < 1.0 - settings.clip_low)
    high = positive & (ratio > 1.0 + settings.clip_high)
    bounded = torch.where(low, 1.0 - settings.clip_low, torch.where(high, 1.0 + settings.clip_high, ratio))
    dual = torch.zeros_like(low)
    if settings.dual_clip is not None:
        dual = negative & (ratio > settings.dual_clip)
        bounded = torch.where(dual, settings.dual_clip, bounded)
    return bounded * advantages, ~(low | high | dual), (low, high, dual)


def _kl(difference: Tensor, settings: GRPOSettings) -> tuple[Tensor, Tensor]:
    """The estimate of KL(policy || reference) from d = reference - policy log-prob, and its derivative by the policy log-prob."""
    clamped = difference.clamp(-LOG_RATIO_CLAMP, LOG_RATIO_CLAMP)
    inner = (difference.abs() <= LOG_RATIO_CLAMP).to(difference.dtype)
    if settings.kl == "k1":
        value, slope = -clamped, torch.ones_like(clamped)
    elif settings.kl == "k2":
        value, slope = clamped.square() / 2, -clamped
    else:
        value, slope = clamped.expm1() - clamped, -clamped.expm1()
    if settings.kl_clamp is not None:
        inner = inner * (value.abs() <= settings.kl_clamp)
        value = value.clamp(-settings.kl_clamp, settings.kl_clamp)
    return value, slope * inner
