"""What group_advantages returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from urt_kernels.shapes import Bool, Float, Int


class GroupAdvantages(NamedTuple):
    """Advantages in the shape of the rewards, and what was found in each of the P groups.

    >>> result = group_advantages(torch.tensor([1.0, 0.0, 1.0, 1.0]), group_size=2)
    >>> result.advantages    # tensor([ 0.7070, -0.7070,  0.0000,  0.0000])
    >>> result.degenerate    # tensor([False, True])
    """

    advantages: Float[Tensor, "*B"]
    """fp32 (fp64 for fp64 rewards); exactly 0 in a degenerate group and for a missing reward."""
    degenerate: Bool[Tensor, " P"]
    """Whether the group teaches nothing: all its rewards are equal, or it has fewer than two."""
    mean: Float[Tensor, " P"]
    """Mean of the rewards that are there; NaN in a group without any."""
    std: Float[Tensor, " P"]
    """Standard deviation (ddof 1) of the rewards that are there; 0 in a degenerate group."""
    num_rewards: Int[Tensor, " P"]
    """How many rewards are there (not NaN)."""
