"""Statistics of the parts of a vocabulary as those of the whole."""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.linear_logprobs.running import RowStatistics

Merged = tuple[Tensor, Tensor | None, Tensor]


def merged(logprobs: Tensor, entropies: Tensor | None, lse: Tensor, inside: Tensor) -> Merged:
    """(log-probs, entropies, log-sum-exps) ``[n]`` from those of P parts, ``[P, n]`` each; ``inside`` says where the
    target is.

    With s the share of a part in the sum of exponentials: ln p = ln p_part + ln s, and H = sum_parts s (H_part - ln s).
    Both stay small where the log-sum-exps are large.
    """
    whole = lse.logsumexp(0)
    log_shares = lse - whole
    chosen = torch.where(inside, logprobs + log_shares, 0.0).sum(0)
    if entropies is None:
        return chosen, None, whole
    return chosen, (log_shares.exp() * (entropies - log_shares)).sum(0), whole


def merged_statistics(parts: RowStatistics, inside: Tensor) -> RowStatistics:
    """The same of all that is known of the rows: parts ``[P, n]``, entropies ``[P, 0]`` where nobody asked for them."""
    asked = parts.entropies.numel() == parts.lse.numel()
    logprobs, entropies, lse = merged(parts.logprobs, parts.entropies if asked else None, parts.lse, inside)
    highest = parts.highest.amax(0)
    top1 = (inside & parts.top1 & (parts.highest >= highest)).any(0)
    return RowStatistics(logprobs, lse.new_empty(0) if entropies is None else entropies, top1, lse, highest)
