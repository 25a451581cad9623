# pyright: reportMissingImports=false, reportIndexIssue=false
"""What a token contributes to the loss, for the Triton kernel: the formulas of urt_kernels.surrogates with their
slopes."""

from typing import no_type_check

import triton
import triton.language as tl

from urt_kernels.surrogates import LOG_RATIO_CLAMP

LOG_RATIO_LIMIT = tl.constexpr(LOG_RATIO_CLAMP)


@triton.jit
@no_type_check
def load_inside(pointer, offsets, inside):
    return tl.load(pointer + offsets, mask=inside, other=0.0).to(tl.float32)


@triton.jit
@no_type_check
def clamped_exp(exponent):
    # Not tl.clamp: a NaN must stay a NaN.
    limited = tl.where(exponent > LOG_RATIO_LIMIT, LOG_RATIO_LIMIT, exponent)
    return tl.exp(tl.where(limited < -LOG_RATIO_LIMIT, -LOG_RATIO_LIMIT, limited))


@triton.jit
@no_type_check
def is_finite(values):
    return tl.abs(values) < float("inf")


@triton.jit
@no_type_check
def live_tokens(
    old,
    rollout,
    reference,
    offsets,
    inside,
    WITH_ROLLOUT: tl.constexpr,
    WITH_REFERENCE: tl.constexpr,
):
    """Tokens inside of the mask whose old, rollout and reference log-probs are finite: the others weigh nothing."""
    live = inside & is_finite(load_inside(old, offsets, inside))
    if WITH_ROLLOUT:
        live = live & is_finite(load_inside(rollout, offsets, inside))
    if WITH_REFERENCE:
        live = live & is_finite(load_inside(reference, offsets, inside))
    return live


@triton.jit
@no_type_check
def sequence_statistics(
    policy,
    old,
    rollout,
    reference,
    mask,
    start,
    num_columns,
    WITH_ROLLOUT: tl.constexpr,
    WITH_REFERENCE: tl.constexpr,
    SEQUENCE_RATIO: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """(completion tokens, sum of log-ratios) of one sequence."""
    length = tl.full([], 0, tl.int32)
    log_ratio_sum = tl.full([], 0.0, tl.float32)
    for first in range(0, num_columns, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        inside = tl.load(mask + start + columns, mask=columns < num_columns, other=0) != 0
        length += tl.sum(inside.to(tl.int32), 0)
        if SEQUENCE_RATIO:
            offsets = start + columns
            live = live_tokens(old, rollout, reference, offsets, inside, WITH_ROLLOUT, WITH_REFERENCE)
            difference = load_inside(policy, offsets, live) - load_inside(old, offsets, live)
            log_ratio_sum += tl.sum(difference, 0)
    return length.to(tl.float32), log_ratio_sum


@triton.jit
@no_type_check
def capped_importance(old, rollout, cap):
    """(truncated importance weight, whether it is the cap)."""
    uncapped = clamped_exp(old - rollout)
    capped = uncapped > cap
    return tl.where(capped, cap, uncapped), capped


@triton.jit
@no_type_check
def clipped_objective(ratio, advantage, lower, upper, dual_clip, WITH_DUAL_CLIP: tl.constexpr):
    """(objective, whether its gradient flows, clipped low, clipped high, clipped by the dual clip)."""
    low = (advantage < 0) & (ratio < lower)
    high = (advantage > 0) & (ratio > upper)
    bounded = tl.where(low, lower, tl.where(high, upper, ratio))
    dual = low & high
    if WITH_DUAL_CLIP:
        dual = (advantage < 0) & (ratio > dual_clip)
        bounded = tl.where(dual, dual_clip, bounded)
    cut = low | high | dual
    return bounded * advantage, tl.where(cut, 0.0, 1.0), low, high, dual


@triton.jit
@no_type_check
def kl_estimate(difference, kl_clamp, KL: tl.constexpr, WITH_KL_CLAMP: tl.constexpr):
    """(estimate, derivative by the policy log-prob) from reference - policy log-prob."""
    limited = tl.where(difference > LOG_RATIO_LIMIT, LOG_RATIO_LIMIT, difference)
    limited = tl.where(limited < -LOG_RATIO_LIMIT, -LOG_RATIO_LIMIT, limited)
    flows = tl.abs(difference) <= LOG_RATIO_LIMIT
    if KL == "k1":
        value = -limited
        slope = limited * 0.0 + 1.0
    elif KL == "k2":
        value = limited * limited * 0.5
        slope = -limited
    else:
        # exp(d) - 1 loses its digits near 0; four terms of the series are exact in fp32 below 1/64.
        series = limited * (1.0 + limited * (0.5 + limited * (0.16666667 + limited * 0.041666668)))
        growth = tl.where(tl.abs(limited) < 0.015625, series, tl.exp(limited) - 1.0)
        rest = limited * limited * (0.5 + limited * (0.16666667 + limited * 0.041666668))
        value = tl.where(tl.abs(limited) < 0.015625, rest, growth - limited)
        slope = -growth
    if WITH_KL_CLAMP:
        flows = flows & (tl.abs(value) <= kl_clamp)
        value = tl.where(value > kl_clamp, kl_clamp, tl.where(value < -kl_clamp, -kl_clamp, value))
    return value, tl.where(flows, slope, 0.0)


@triton.jit
@no_type_check
def sequence_slope(
    old,
    rollout,
    reference,
    advantages,
    mask,
    start,
    sequence,
    stop,
    ratio,
    log_ratio_mean,
    lower,
    upper,
    dual_clip,
    cap,
    WITH_ROLLOUT: tl.constexpr,
    WITH_REFERENCE: tl.constexpr,
    WITH_DUAL_CLIP: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Sum over the sequence of d policy term / d log of the sequence ratio."""
    total = tl.full([], 0.0, tl.float32)
    for first in range(0, stop, BLOCK):
        columns = first + tl.arange(0, BLOCK)
        offsets = start + columns
        masked = tl.load(mask + offsets, mask=columns < stop, other=0) != 0
        inside = live_tokens(old, rollout, reference, offsets, masked, WITH_ROLLOUT, WITH_REFERENCE)
        if PER_TOKEN:
            advantage = load_inside(advantages, offsets, inside)
        else:
            advantage = load_inside(advantages, sequence + columns * 0, inside)
        ratios = tl.where(inside, ratio, 1.0)
        _, flows, _, _, _ = clipped_objective(ratios, advantage, lower, upper, dual_clip, WITH_DUAL_CLIP)
        importance = inside.to(tl.float32)
        if WITH_ROLLOUT:
            weights, _ = capped_importance(
                load_inside(old, offsets, inside), load_inside(rollout, offsets, inside), cap
            )
            importance = importance * weights
        total += tl.sum(-importance * advantage * ratios * flows, 0)
    return tl.where(tl.abs(log_ratio_mean) <= LOG_RATIO_LIMIT, total, 0.0)
