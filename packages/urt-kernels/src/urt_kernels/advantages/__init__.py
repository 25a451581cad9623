"""Advantages of completions relative to their group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from urt_kernels.advantages.op import group_advantages_op
from urt_kernels.advantages.result import GroupAdvantages
from urt_kernels.checks import FLOATS, check_choice, check_dtype, check_positive
from urt_kernels.dispatch import Impl, no_fp64, resolve
from urt_kernels.packed import check_offsets
from urt_kernels.shapes import Float, Int, Number

__all__ = ["GroupAdvantages", "group_advantages"]

MODES = ("grpo", "dr_grpo", "rloo", "batch")
COMBINATIONS = ("sum_then_normalize", "normalize_then_sum")


def group_advantages(
    rewards: Float[Tensor, "*B"],
    *,
    group_size: int | None = None,
    group_offsets: Int[Tensor, " P_plus_1"] | None = None,
    mode: Literal["grpo", "dr_grpo", "rloo", "batch"] = "grpo",
    eps: Number = 1e-4,
    weights: Sequence[Number] | None = None,
    combine: Literal["sum_then_normalize", "normalize_then_sum"] = "sum_then_normalize",
    impl: Impl = "auto",
) -> GroupAdvantages:
    """How much better each completion is than its group.

    Rewards are ``[P, G]``, or ``[B]`` with ``group_size`` (contiguous groups) or ``group_offsets`` (ragged groups, from
    0 to B). With K ``weights`` they have one more axis of K rewards at the end. A reward that is NaN or infinite is
    missing: it counts in no statistic and has advantage 0. A group whose rewards are all equal has advantage exactly 0
    and is flagged.

    With r a reward, mean and std (ddof 1, two passes) those of its group:

    - ``grpo``: (r - mean) / (std + eps), DeepSeekMath (arXiv 2402.03300, eq. 3 and 4.1.2); eps and ddof as in TRL;
    - ``dr_grpo``: r - mean, Dr. GRPO (arXiv 2503.20783);
    - ``rloo``: r - mean of the others = G / (G - 1) (r - mean), RLOO (arXiv 2402.14740);
    - ``batch``: (r - mean) / (std of all rewards given here + eps), Lite PPO (arXiv 2508.08221).

    ``combine="normalize_then_sum"`` normalises each reward by itself before the weighted sum, GDPO (arXiv 2601.05242),
    without its last normalisation over the batch, which would depend on how the batch is split over ranks.
    """
    check_dtype("rewards", rewards, FLOATS)
    check_choice("mode", mode, MODES)
    check_choice("combine", combine, COMBINATIONS)
    check_positive("eps", eps)
    matrix, shape = _as_matrix(rewards, weights)
    offsets = _offsets(shape, group_size, group_offsets, rewards.device)
    row_weights = torch.tensor([1.0] if weights is None else list(weights), dtype=matrix.dtype, device=rewards.device)
    chosen = resolve(impl, rewards.device, operation="group_advantages", unsupported=_unsupported(matrix, mode))
    advantages, *statistics = group_advantages_op(matrix, row_weights, offsets, mode, combine, float(eps), chosen)
    return GroupAdvantages(advantages.reshape(shape), *statistics)


def _as_matrix(rewards: Tensor, weights: Sequence[Number] | None) -> tuple[Tensor, torch.Size]:
    """Rewards as [B, K] in fp32 or fp64, and the shape of the advantages."""
    if weights is not None and (rewards.dim() < 2 or rewards.shape[-1] != len(weights)):
        raise ValueError(
            f"weights has {len(weights)} values for rewards of shape {list(rewards.shape)}: "
            "the last axis of rewards must hold one reward per weight."
        )
    shape = rewards.shape if weights is None else rewards.shape[:-1]
    if len(shape) not in (1, 2):
        raise ValueError(f"rewards has shape {list(rewards.shape)}: it must be [B] or [P, G] (and K with weights).")
    dtype = torch.float64 if rewards.dtype == torch.float64 else torch.float32
    rewards = rewards.detach().to(dtype)
    rewards = torch.where(rewards.isinf(), torch.nan, rewards)
    return rewards.reshape(-1, 1 if weights is None else len(weights)), shape


def _offsets(shape: torch.Size, group_size: int | None, group_offsets: Tensor | None, device: torch.device) -> Tensor:
    num_rewards = math.prod(shape)
    if group_offsets is not None:
        if group_size is not None:
            raise ValueError(f"group_size={group_size} with group_offsets: give one of the two.")
        check_offsets("group_offsets", group_offsets, num_rewards, device, meaning="the number of rewards")
        return group_offsets
    if group_size is None:
        if len(shape) == 1:
            raise ValueError("group_size=None for rewards [B]: give group_size or group_offsets, or rewards [P, G].")
        group_size = shape[1]
    if group_size < 1:
        raise ValueError(f"group_size={group_size}: it must be at least 1.")
    if len(shape) == 2 and shape[1] != group_size:
        raise ValueError(f"group_size={group_size} for rewards {list(shape)}: it must be {shape[1]}, or left out.")
    if num_rewards % group_size:
        raise ValueError(f"group_size={group_size} for {num_rewards} rewards: it must divide their number.")
    return torch.arange(0, num_rewards + 1, group_size, device=device)


def _unsupported(rewards: Tensor, mode: str) -> str | None:
    if mode == "batch" and rewards.shape[1] > 1:
        return "mode='batch' has one reward per sample in the kernel"
    return no_fp64(rewards)
