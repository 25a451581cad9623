"""group_advantages in plain PyTorch: the CPU kernel and the test oracle.

Groups are contiguous and ragged (offsets ``[P + 1]``); sums over a group are ``index_add`` in fp64, so that the mean of
equal fp32 rewards is that reward and the second pass of the variance starts from the right mean.
"""

from __future__ import annotations

import torch
from torch import Tensor

Statistics = tuple[Tensor, Tensor, Tensor, Tensor]


def forward(
    rewards: Tensor, weights: Tensor, offsets: Tensor, mode: str, combine: str, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """(advantages [B], degenerate [P], mean [P], std [P], num_rewards [P]) of rewards [B, K] with weights [K]."""
    dtype = rewards.dtype
    rewards, weights, offsets = rewards.double(), weights.double(), offsets.long()
    num_groups = len(offsets) - 1
    group = torch.repeat_interleave(torch.arange(num_groups, device=rewards.device), offsets.diff())
    present = _present(rewards, weights, group, num_groups)
    total = torch.where(present, (rewards * weights).nan_to_num(0.0, torch.inf, -torch.inf).sum(-1), torch.nan)
    mean, std, degenerate, count = _statistics(total, group, num_groups)
    if combine == "sum_then_normalize":
        scale = _spread(total, std, mode)
        advantages = _normalized(total, group, mean, scale, degenerate, count, mode, eps)
    else:
        advantages = torch.zeros_like(total)
        degenerate = torch.ones_like(degenerate)
        for reward, weight in zip(rewards.unbind(-1), weights, strict=True):
            own = torch.where(present, reward, torch.nan)
            own_mean, own_std, own_degenerate, own_count = _statistics(own, group, num_groups)
            scale = _spread(own, own_std, mode)
            degenerate &= own_degenerate | (weight == 0)
            advantages += weight * _normalized(own, group, own_mean, scale, own_degenerate, own_count, mode, eps)
    return advantages.to(dtype), degenerate, mean.to(dtype), std.to(dtype), count


def _present(rewards: Tensor, weights: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Which samples have their reward: no component is NaN, components that are NaN in the whole group aside.

    Such a component does not apply to the group's task. One that is NaN for some samples only is missing for these, and
    a missing component never counts as 0.
    """
    known = ~rewards.isnan()
    applies = torch.zeros(num_groups, rewards.shape[-1], device=rewards.device).index_add_(0, group, known.float()) > 0
    applies &= weights != 0
    return (known | ~applies[group]).all(-1) & applies[group].any(-1)


def _statistics(values: Tensor, group: Tensor, num_groups: int) -> Statistics:
    """(mean, std, degenerate, count) of each group, NaN left out; the variance is two-pass with ddof 1."""
    present = ~values.isnan()
    filled = values.masked_fill(~present, 0.0)
    zeros = values.new_zeros(num_groups)
    count = zeros.index_add(0, group, present.double())
    mean = zeros.index_add(0, group, filled) / count
    deviation = (filled - mean[group]).masked_fill(~present, 0.0)
    std = (zeros.index_add(0, group, deviation * deviation) / (count - 1).clamp(min=1)).sqrt()
    highest = torch.full_like(zeros, -torch.inf).scatter_reduce(
        0, group, values.masked_fill(~present, -torch.inf), "amax"
    )
    lowest = torch.full_like(zeros, torch.inf).scatter_reduce(0, group, values.masked_fill(~present, torch.inf), "amin")
    degenerate = (highest == lowest) | (count < 2)
    return mean, std.masked_fill(degenerate, 0.0), degenerate, count.long()


def _spread(values: Tensor, std: Tensor, mode: str) -> Tensor:
    """What the deviation is divided by (before eps): the group's std, or that of all rewards for ``mode="batch"``."""
    if mode != "batch":
        return std
    known = values[~values.isnan()]
    return (known.std() if len(known) > 1 else known.new_zeros(())).expand_as(std)


def _normalized(
    values: Tensor,
    group: Tensor,
    mean: Tensor,
    scale: Tensor,
    degenerate: Tensor,
    count: Tensor,
    mode: str,
    eps: float,
) -> Tensor:
    deviation = values - mean[group]
    if mode in ("grpo", "batch"):
        deviation = deviation / (scale[group] + eps)
    elif mode == "rloo":
        others = (count - 1).clamp(min=1)
        deviation = deviation * (count / others)[group]
    return deviation.masked_fill(degenerate[group] | values.isnan(), 0.0)
