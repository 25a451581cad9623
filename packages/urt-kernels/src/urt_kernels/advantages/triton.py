# pyright: reportMissingImports=false, reportIndexIssue=false
"""group_advantages in Triton: one launch, one program per group; every pass re-reads the group from the cache.

Statistics are taken of the distance to the group's lowest reward, so that fp32 keeps its digits for rewards that are
close to each other and far from 0, and equal rewards are at distance exactly 0.
"""

from typing import no_type_check

import torch
import triton
import triton.language as tl
from torch import Tensor

from urt_kernels.dispatch import on_device

BLOCK = 64
BATCH_BLOCK = 1024


def forward(
    rewards: Tensor, weights: Tensor, offsets: Tensor, mode: str, combine: str, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    num_groups = len(offsets) - 1
    rewards = rewards.contiguous()
    advantages = rewards.new_empty(len(rewards))
    mean, std = rewards.new_empty(num_groups), rewards.new_empty(num_groups)
    degenerate = torch.empty_like(mean, dtype=torch.bool)
    num_rewards = torch.empty_like(mean, dtype=torch.int64)
    if num_groups > 0:
        with on_device(rewards):
            advantages_kernel[(num_groups,)](
                rewards,
                weights,
                offsets,
                advantages,
                degenerate,
                mean,
                std,
                num_rewards,
                len(rewards),
                eps,
                MODE=mode,
                NORMALIZE_FIRST=combine == "normalize_then_sum",
                NUM_COMPONENTS=rewards.shape[1],
                BLOCK=BLOCK,
                BATCH_BLOCK=BATCH_BLOCK,
                num_warps=2,  # pyright: ignore[reportCallIssue]  an option of the launch
            )
    return advantages, degenerate, mean, std, num_rewards


@triton.jit
@no_type_check
def applies(rewards, weights, start, stop, component, NUM_COMPONENTS: tl.constexpr, BLOCK: tl.constexpr):
    """Whether this component has a weight and is there for some sample of the group."""
    weighted = tl.load(weights + component) != 0
    if NUM_COMPONENTS == 1:
        # Where the only component is missing, so is the reward: nothing to look for.
        return weighted
    else:
        known = tl.full([], 0, tl.int32)
        for first in range(start, stop, BLOCK):
            rows = first + tl.arange(0, BLOCK)
            values = tl.load(rewards + rows * NUM_COMPONENTS + component, mask=rows < stop, other=float("nan"))
            known += tl.sum((values == values).to(tl.int32), 0)
        return weighted & (known > 0)


@triton.jit
@no_type_check
def group_values(rewards, weights, rows, start, stop, only, NUM_COMPONENTS: tl.constexpr, BLOCK: tl.constexpr):
    """Reward of each row, NaN where it is missing: the weighted sum, or component ``only`` where that is not
    negative."""
    present = rows < stop
    missing = ~present
    any_applies = tl.full([], False, tl.int1)
    values = tl.zeros([BLOCK], tl.float32)
    for component in range(NUM_COMPONENTS):
        used = applies(rewards, weights, start, stop, component, NUM_COMPONENTS, BLOCK)
        any_applies = any_applies | used
        reward = tl.load(rewards + rows * NUM_COMPONENTS + component, mask=present, other=0.0)
        missing = tl.where(used, missing | (reward != reward), missing)
        if only < 0:
            values += tl.where(used, reward * tl.load(weights + component), 0.0)
        elif component == only:
            values = tl.where(used, reward, float("nan"))
    return tl.where(any_applies, tl.where(missing, float("nan"), values), float("nan"))


@triton.jit
@no_type_check
def statistics(rewards, weights, start, stop, only, NUM_COMPONENTS: tl.constexpr, BLOCK: tl.constexpr):
    """(lowest, mean distance to the lowest, std, degenerate, count) of the rewards that are there."""
    lowest = tl.full([], float("inf"), tl.float32)
    highest = tl.full([], float("-inf"), tl.float32)
    count = tl.full([], 0, tl.int32)
    for first in range(start, stop, BLOCK):
        rows = first + tl.arange(0, BLOCK)
        values = group_values(rewards, weights, rows, start, stop, only, NUM_COMPONENTS, BLOCK)
        known = values == values
        lowest = tl.minimum(lowest, tl.min(tl.where(known, values, float("inf")), 0))
        highest = tl.maximum(highest, tl.max(tl.where(known, values, float("-inf")), 0))
        count += tl.sum(known.to(tl.int32), 0)
    total = tl.full([], 0.0, tl.float32)
    for first in range(start, stop, BLOCK):
        rows = first + tl.arange(0, BLOCK)
        values = group_values(rewards, weights, rows, start, stop, only, NUM_COMPONENTS, BLOCK)
        total += tl.sum(tl.where(values == values, values - lowest, 0.0), 0)
    distance = total / tl.maximum(count, 1).to(tl.float32)
    squares = tl.full([], 0.0, tl.float32)
    for first in range(start, stop, BLOCK):
        rows = first + tl.arange(0, BLOCK)
        values = group_values(rewards, weights, rows, start, stop, only, NUM_COMPONENTS, BLOCK)
        deviation = tl.where(values == values, (values - lowest) - distance, 0.0)
        squares += tl.sum(deviation * deviation, 0)
    degenerate = (highest == lowest) | (count < 2)
    std = tl.where(degenerate, 0.0, tl.sqrt(squares / tl.maximum(count - 1, 1).to(tl.float32)))
    return lowest, distance, std, degenerate, count


@triton.jit
@no_type_check
def advantages_kernel(
    rewards,
    weights,
    offsets,
    advantages,
    degenerate_groups,
    means,
    stds,
    num_rewards,
    batch,
    eps,
    MODE: tl.constexpr,
    NORMALIZE_FIRST: tl.constexpr,
    NUM_COMPONENTS: tl.constexpr,
    BLOCK: tl.constexpr,
    BATCH_BLOCK: tl.constexpr,
):
    group = tl.program_id(0)
    start = tl.load(offsets + group).to(tl.int32)
    stop = tl.load(offsets + group + 1).to(tl.int32)
    lowest, distance, std, degenerate, count = statistics(rewards, weights, start, stop, -1, NUM_COMPONENTS, BLOCK)
    tl.store(means + group, tl.where(count > 0, lowest + distance, float("nan")))
    tl.store(stds + group, std)
    tl.store(num_rewards + group, count.to(tl.int64))
    spread = std
    if MODE == "batch":
        _, _, spread, _, _ = statistics(rewards, weights, 0, batch, -1, NUM_COMPONENTS, BATCH_BLOCK)
    if not NORMALIZE_FIRST:
        tl.store(degenerate_groups + group, degenerate)
        for first in range(start, stop, BLOCK):
            rows = first + tl.arange(0, BLOCK)
            values = group_values(rewards, weights, rows, start, stop, -1, NUM_COMPONENTS, BLOCK)
            result = normalized(values, lowest, distance, spread, degenerate, count, eps, MODE)
            tl.store(advantages + rows, result, mask=rows < stop)
    else:
        all_degenerate = tl.full([], True, tl.int1)
        for component in range(NUM_COMPONENTS):
            weight = tl.load(weights + component)
            lowest, distance, std, degenerate, count = statistics(
                rewards, weights, start, stop, component, NUM_COMPONENTS, BLOCK
            )
            all_degenerate = all_degenerate & (degenerate | (weight == 0))
            if MODE != "batch":
                spread = std
            for first in range(start, stop, BLOCK):
                rows = first + tl.arange(0, BLOCK)
                values = group_values(rewards, weights, rows, start, stop, component, NUM_COMPONENTS, BLOCK)
                result = weight * normalized(values, lowest, distance, spread, degenerate, count, eps, MODE)
                earlier = tl.load(advantages + rows, mask=(rows < stop) & (component > 0), other=0.0)
                tl.store(advantages + rows, earlier + result, mask=rows < stop)
            # The next component reads what this one wrote.
            tl.debug_barrier()
        tl.store(degenerate_groups + group, all_degenerate)


@triton.jit
@no_type_check
def normalized(values, lowest, distance, spread, degenerate, count, eps, MODE: tl.constexpr):
    deviation = (values - lowest) - distance
    if MODE == "grpo" or MODE == "batch":
        deviation = deviation / (spread + eps)
    elif MODE == "rloo":
        deviation = deviation * (count.to(tl.float32) / tl.maximum(count - 1, 1).to(tl.float32))
    return tl.where(degenerate, 0.0, tl.where(values == values, deviation, 0.0))
