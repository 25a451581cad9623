"""torch.ops.urt_kernels.group_advantages: one op for every device and implementation; rewards carry no gradient."""

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor


@torch.library.custom_op("urt_kernels::group_advantages", mutates_args=())
def group_advantages_op(
    rewards: Tensor, weights: Tensor, offsets: Tensor, mode: str, combine: str, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    return _implementation(impl).forward(rewards, weights, offsets, mode, combine, eps)


@group_advantages_op.register_fake
def _fake(
    rewards: Tensor, weights: Tensor, offsets: Tensor, mode: str, combine: str, eps: float, impl: str
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    groups = rewards.new_empty(offsets.shape[0] - 1)
    return (
        rewards.new_empty(rewards.shape[0]),
        torch.empty_like(groups, dtype=torch.bool),
        groups,
        torch.empty_like(groups),
        torch.empty_like(groups, dtype=torch.int64),
    )


def _implementation(impl: str) -> ModuleType:
    """The module that computes; Triton is imported by the first call that needs it."""
    return import_module(f"urt_kernels.advantages.{impl}")
