"""d loss / d log-prob of some rows of the head, as soon as their log-probs are known."""

from __future__ import annotations

from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.grpo_loss.result import GRPOSettings


class Experience(NamedTuple):
    """What the objective reads beside the policy, ``[B, T]`` each, and where the rows of the head are in it.

    >>> Experience(rows=torch.tensor([0, 1, 4]), old=old, rollout=None, reference=None, advantages=advantages[:, None],
    ...            mask=mask, normalizer=torch.tensor(3.0))
    """

    rows: Tensor
    """``[n]``: index of each head row in the flattened ``[B, T]``."""
    old: Tensor
    rollout: Tensor | None
    reference: Tensor | None
    advantages: Tensor
    """``[B, T]`` or ``[B, 1]``."""
    mask: Tensor
    normalizer: Tensor
    """Divisor of the loss, 0-d."""


def coefficients(
    logprobs: Tensor, part: slice, experience: Experience, settings: GRPOSettings, grpo: ModuleType
) -> Tensor:
    """d loss / d log-prob of the head rows ``part``, with their log-probs given.

    The rows go through ``grpo`` (an implementation of grpo_loss) as one sequence. With a ratio per token, a token's gradient
    knows the rest of its sequence only by the factor 1 / L of the "grpo" aggregation, which is applied here.
    """
    index = experience.rows[part]
    old, rollout, reference = (
        None if values is None else values.reshape(-1)[index][None]
        for values in (experience.old, experience.rollout, experience.reference)
    )
    advantages = experience.advantages.expand(experience.mask.shape).reshape(-1)[index][None]
    everywhere = torch.ones_like(index, dtype=torch.bool)[None]
    _, gradient, scale, _ = grpo.forward(
        logprobs[None],
        old,
        rollout,
        reference,
        advantages,
        everywhere,
        experience.normalizer,
        settings._replace(aggregation="dapo"),
    )
    if settings.aggregation == "grpo":
        lengths = (experience.mask != 0).sum(-1).clamp(min=1)
        gradient = gradient / lengths[index // experience.mask.shape[1]]
    return (gradient * scale)[0]


def loss_of_batch(
    logprobs: Tensor, experience: Experience, settings: GRPOSettings, grpo: ModuleType
) -> tuple[Tensor, Tensor, Tensor]:
    """(loss, log-probs ``[B, T]``, metrics) from the log-probs of all head rows."""
    placed = logprobs.new_zeros(experience.mask.numel()).index_copy_(0, experience.rows, logprobs)
    placed = placed.view(experience.mask.shape)
    loss, _, _, metrics = grpo.forward(placed, *experience[1:], settings)
    return loss, placed, metrics
