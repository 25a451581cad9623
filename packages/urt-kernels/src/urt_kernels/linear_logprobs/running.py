"""Statistics of rows while the vocabulary goes by in blocks (online softmax, Milakov & Gimelshein, arXiv
1805.02867)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.logprobs.result import IGNORE_TARGET
from urt_kernels.logprobs.upstream import LOWEST, target_in


class RowStatistics(NamedTuple):
    """What a vocabulary, or a part of it, says of n rows, ``[n]`` each.

    >>> RowStatistics(logprobs=logprobs, entropies=entropies, top1=top1, lse=lse, highest=highest)
    """

    logprobs: Tensor
    entropies: Tensor
    """Empty where not asked for."""
    top1: Tensor
    lse: Tensor
    highest: Tensor
    """The highest logit, in the units of the implementation that found it."""


class RunningRows:
    """Log-prob, entropy, top-1 match and lse of n rows, exact whatever the order of magnitude of later blocks.

    >>> rows = RunningRows(targets, dtype=torch.float32, entropy=False)
    >>> for columns in spans(vocabulary, 8192):
    ...     rows.add(logits_of(columns), columns)
    >>> rows.finish().logprobs
    """

    def __init__(self, targets: Tensor, *, dtype: torch.dtype, entropy: bool) -> None:
        self.targets = targets.long()
        self.entropy = entropy
        self.highest = torch.full((len(targets), 1), LOWEST, dtype=dtype, device=targets.device)
        self.total = torch.zeros_like(self.highest)
        self.weighted = torch.zeros_like(self.highest)
        # A target outside the vocabulary (where nobody checked) leaves NaN in its row.
        self.chosen = torch.full_like(self.highest, torch.nan)

    def add(self, logits: Tensor, columns: slice) -> None:
        """Take in the logits ``[n, columns]``, already divided by the temperature."""
        inside, local = target_in(self.targets, columns)
        self.chosen = torch.where(inside, logits.gather(-1, local), self.chosen)
        highest = torch.maximum(self.highest, logits.amax(-1, keepdim=True))
        shift = self.highest - highest
        shifted = (logits - highest).clamp_(min=LOWEST)
        weights = shifted.exp()
        # Moving the maximum by shift turns sum e^x (x - m) into (weighted + shift * total) * e^shift.
        if self.entropy:
            moved = (self.weighted + shift * self.total) * shift.exp()
            self.weighted = moved + shifted.mul_(weights).sum(-1, keepdim=True)
        self.total = self.total * shift.exp() + weights.sum(-1, keepdim=True)
        self.highest = highest

    def finish(self) -> RowStatistics:
        """Zeros where the target is ignored; entropies that nobody asked for are those of the log-sum-exp alone."""
        ignored = self.targets == IGNORE_TARGET
        log_total = self.total.log()
        # In this order a log-prob near 0 keeps its digits, however large the logits are.
        columns = (
            (self.chosen - self.highest) - log_total,
            log_total - self.weighted / self.total,
            self.highest + log_total,
        )
        values = [column[:, 0].masked_fill(ignored, 0.0) for column in columns]
        top1 = (self.chosen == self.highest)[:, 0] & ~ignored
        return RowStatistics(values[0], values[1], top1, values[2], self.highest[:, 0])
