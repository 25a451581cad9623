# pyright: reportMissingImports=false, reportIndexIssue=false
"""grpo_loss in Triton: loss, gradient and metrics from one launch.

A program takes one block of one sequence and leaves its partial sums in a row of a small table; the program that
finishes last adds up the table, always in the same order, so that the result does not depend on which one that is.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device
from urt_kernels.policy_loss.settings import GRPOSettings
from urt_kernels.policy_loss.terms import (
    LOG_RATIO_LIMIT,
    capped_importance,
    clamped_exp,
    clipped_objective,
    kl_estimate,
    live_tokens,
    load_inside,
    sequence_slope,
    sequence_statistics,
)
from urt_kernels.tuning import cover

BLOCK = 512
# Loss, then the metrics in the order of GRPOLoss; one more for the alignment of a row of partial sums.
NUM_SUMS = tl.constexpr(14)
NUM_COLUMNS = 16
MAX_COLUMN = tl.constexpr(6)


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
    num_sequences, num_columns = policy.shape
    num_blocks = max(1, cover(num_columns, BLOCK))
    num_programs = max(1, num_sequences * num_blocks)
    gradient = torch.empty(policy.shape, dtype=torch.float32, device=policy.device)
    loss, scale, metrics = gradient.new_empty(()), gradient.new_empty(()), gradient.new_empty(NUM_SUMS.value - 1)
    partials = gradient.new_empty(num_programs, NUM_COLUMNS)
    per_token = advantages.shape[1] == num_columns and num_columns > 1
    with on_device(policy):
        loss_kernel[(num_programs,)](
            policy.contiguous(),
            old.contiguous(),
            None if rollout is None else rollout.contiguous(),
            None if reference is None else reference.contiguous(),
            advantages.contiguous(),
            mask.contiguous(),
            None if normalizer is None else normalizer,
            gradient,
            partials,
            loss,
            scale,
            metrics,
            _counter(policy.device),
            num_sequences,
            num_columns,
            num_blocks,
            num_programs,
            1.0 - settings.clip_low,
            1.0 + settings.clip_high,
            settings.dual_clip or 0.0,
            settings.importance_cap,
            settings.kl_coef,
            settings.kl_clamp or 0.0,
            WITH_ROLLOUT=rollout is not None,
            WITH_REFERENCE=reference is not None,
            WITH_NORMALIZER=normalizer is not None,
            WITH_DUAL_CLIP=settings.dual_clip is not None,
            WITH_KL_CLAMP=settings.kl_clamp is not None,
            PER_TOKEN=per_token,
            KL=settings.kl,
            SEQUENCE_RATIO=settings.ratio == "sequence",
            CISPO=settings.surrogate == "cispo",
            AGGREGATION=settings.aggregation,
            BLOCK=BLOCK,
            NUM_COLUMNS=NUM_COLUMNS,
            num_warps=4,  # pyright: ignore[reportCallIssue]  an option of the launch
        )
    return loss, gradient, scale, metrics


_counters: dict[tuple[torch.device, int], Tensor] = {}


def _counter(device: torch.device) -> Tensor:
    """A counter at 0 for the current stream; the kernel puts it back to 0, which saves a launch to clear it.

    A CUDA graph gets one of its own, cleared by each replay: two graphs may be replayed at once.
    """
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        return torch.zeros(1, dtype=torch.int32, device=device)
    stream = torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0
    if (device, stream) not in _counters:
        _counters[device, stream] = torch.zeros(1, dtype=torch.int32, device=device)
    return _counters[device, stream]


@triton.jit
@no_type_check
def loss_kernel(
    policy,
    old,
    rollout,
    reference,
    advantages,
    mask,
    normalizer,
    gradient,
    partials,
    loss,
    scale,
    metrics,
    counter,
    num_sequences,
    num_columns,
    num_blocks,
    num_programs,
    lower,
    upper,
    dual_clip,
    importance_cap,
    kl_coef,
    kl_clamp,
    WITH_ROLLOUT: tl.constexpr,
    WITH_REFERENCE: tl.constexpr,
    WITH_NORMALIZER: tl.constexpr,
    WITH_DUAL_CLIP: tl.constexpr,
    WITH_KL_CLAMP: tl.constexpr,
    PER_TOKEN: tl.constexpr,
    KL: tl.constexpr,
    SEQUENCE_RATIO: tl.constexpr,
    CISPO: tl.constexpr,
    AGGREGATION: tl.constexpr,
    BLOCK: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
):
    program = tl.program_id(0)
    sequence = program // num_blocks
    block = program % num_blocks
    start = sequence.to(tl.int64) * num_columns
    # An empty batch still has one program, which only writes zeros.
    stop = tl.where(sequence < num_sequences, num_columns, 0)
    length, log_ratio_mean = sequence_statistics(
        policy, old, rollout, reference, mask, start, stop, WITH_ROLLOUT, WITH_REFERENCE, SEQUENCE_RATIO, BLOCK,
    )  # fmt: skip
    log_ratio_mean = log_ratio_mean / tl.maximum(length, 1.0)

    columns = block * BLOCK + tl.arange(0, BLOCK)
    offsets = start + columns
    present = columns < stop
    inside = tl.load(mask + offsets, mask=present, other=0) != 0
    live = live_tokens(old, rollout, reference, offsets, inside, WITH_ROLLOUT, WITH_REFERENCE)
    weight = live.to(tl.float32)
    old_logprobs = load_inside(old, offsets, live)
    policy_logprobs = load_inside(policy, offsets, live)
    log_ratio = policy_logprobs - old_logprobs
    if PER_TOKEN:
        advantage = load_inside(advantages, offsets, live)
    else:
        advantage = load_inside(advantages, sequence + columns * 0, live)
    if SEQUENCE_RATIO:
        exponent = tl.where(live, log_ratio_mean, 0.0)
    else:
        exponent = log_ratio
    ratio = clamped_exp(exponent)
    objective, flows, low, high, dual = clipped_objective(ratio, advantage, lower, upper, dual_clip, WITH_DUAL_CLIP)

    importance = weight
    capped = low & high
    if WITH_ROLLOUT:
        importance, capped = capped_importance(old_logprobs, load_inside(rollout, offsets, live), importance_cap)
        importance, capped = importance * weight, capped & live
    kl = tl.zeros([BLOCK], tl.float32)
    kl_slope = tl.zeros([BLOCK], tl.float32)
    if WITH_REFERENCE:
        kl, kl_slope = kl_estimate(load_inside(reference, offsets, live) - policy_logprobs, kl_clamp, KL, WITH_KL_CLAMP)
        kl = tl.where(live, kl, 0.0)
        kl_slope = tl.where(live, kl_slope, 0.0)

    token_weight = 1.0
    if AGGREGATION == "grpo":
        token_weight = 1.0 / tl.maximum(length, 1.0)
    policy_term = -importance * objective
    slope = -importance * advantage * ratio * flows * tl.where(tl.abs(exponent) <= LOG_RATIO_LIMIT, 1.0, 0.0)
    if CISPO:
        bounded = tl.where(ratio > upper, upper, tl.where(ratio < lower, lower, ratio))
        slope = -importance * bounded * advantage
        policy_term = slope * policy_logprobs
    elif SEQUENCE_RATIO:
        # Every token of the sequence moves the ratio of all of them: sum their slopes over the whole sequence.
        slope_sum = sequence_slope(
            old, rollout, reference, advantages, mask, start, sequence, stop, clamped_exp(log_ratio_mean), log_ratio_mean,
            lower, upper, dual_clip, importance_cap, WITH_ROLLOUT, WITH_REFERENCE,
            WITH_DUAL_CLIP, PER_TOKEN, BLOCK,
        )  # fmt: skip
        slope = weight * slope_sum / tl.maximum(length, 1.0)
    token_gradient = (slope + kl_coef * kl_slope) * token_weight
    tl.store(gradient + offsets, token_gradient, mask=present)

    row = partials + program * NUM_COLUMNS
    is_first = tl.where(block == 0, 1.0, 0.0)
    tl.store(row + 0, tl.sum((policy_term + kl_coef * kl) * token_weight, 0))
    tl.store(row + 1, tl.sum(inside.to(tl.float32), 0))
    tl.store(row + 2, is_first * tl.where(length > 0, 1.0, 0.0))
    tl.store(row + 3, tl.sum(policy_term, 0))
    tl.store(row + 4, tl.sum(kl, 0))
    tl.store(row + 5, tl.sum(ratio * weight, 0))
    tl.store(row + 6, tl.max(ratio * weight, 0))
    tl.store(row + 7, tl.sum(log_ratio, 0))
    tl.store(row + 8, tl.sum(low.to(tl.float32) * weight, 0))
    tl.store(row + 9, tl.sum(high.to(tl.float32) * weight, 0))
    tl.store(row + 10, tl.sum(dual.to(tl.float32) * weight, 0))
    tl.store(row + 11, tl.sum(importance, 0))
    tl.store(row + 12, tl.sum(capped.to(tl.float32), 0))
    tl.store(row + 13, tl.sum(inside.to(tl.float32) - weight, 0))

    # All partial sums of this program are written before it counts itself as done.
    tl.debug_barrier()
    done = tl.atomic_add(counter, 1, sem="acq_rel", scope="gpu")
    if done == num_programs - 1:
        tl.store(counter, 0)
        add_up(
            partials, loss, scale, metrics, normalizer, num_programs, num_sequences * num_columns, WITH_NORMALIZER,
            AGGREGATION, NUM_COLUMNS,
        )  # fmt: skip


@triton.jit
@no_type_check
def add_up(
    partials,
    loss,
    scale,
    metrics,
    normalizer,
    num_programs,
    num_elements,
    WITH_NORMALIZER: tl.constexpr,
    AGGREGATION: tl.constexpr,
    NUM_COLUMNS: tl.constexpr,
):
    """Add the rows of partial sums in order (the ratio's maximum aside) and divide the loss by the normaliser."""
    columns = tl.arange(0, NUM_COLUMNS)
    sums = tl.zeros([NUM_COLUMNS], tl.float32)
    for first in range(0, num_programs, 32):
        rows = first + tl.arange(0, 32)
        # Written by other programs: past the cache of this SM.
        values = tl.load(
            partials + rows[:, None] * NUM_COLUMNS + columns[None, :],
            mask=(rows[:, None] < num_programs) & (columns[None, :] < NUM_SUMS),
            other=0.0,
            cache_modifier=".cg",
        )
        sums = tl.where(columns == MAX_COLUMN, tl.maximum(sums, tl.max(values, 0)), sums + tl.sum(values, 0))
    if WITH_NORMALIZER:
        divisor = tl.load(normalizer).to(tl.float32)
    elif AGGREGATION == "grpo":
        divisor = tl.sum(tl.where(columns == 2, sums, 0.0), 0)
    elif AGGREGATION == "dapo":
        divisor = tl.sum(tl.where(columns == 1, sums, 0.0), 0)
    else:
        divisor = num_elements.to(tl.float32)
    num_tokens = tl.sum(tl.where(columns == 1, sums, 0.0), 0)
    inverse = tl.where((divisor == 0) & (num_tokens == 0), 0.0, 1.0 / divisor)
    tl.store(loss, tl.sum(tl.where(columns == 0, sums, 0.0), 0) * inverse)
    tl.store(scale, inverse)
    tl.store(metrics + columns - 1, sums, mask=(columns >= 1) & (columns < NUM_SUMS))
