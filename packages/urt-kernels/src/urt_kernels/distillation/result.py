"""What the distillation losses return."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from urt_kernels.shapes import Float


class Distillation(NamedTuple):
    """The mean divergence, and that of each row.

    >>> result = linear_distillation_loss(hidden, weight, teacher_hidden, teacher_weight, temperature=1.0, mask=mask)
    >>> result.loss.backward()
    """

    loss: Float[Tensor, ""]
    """Differentiable in the student's hidden and weight."""
    divergences: Float[Tensor, "*N"]
    """In nats, without gradient; 0 outside of the mask."""
