"""What each token weighs in the loss."""

from __future__ import annotations

import torch
from torch import Tensor


def sequence_numbers(targets: Tensor, cu_seqlens: Tensor | None) -> tuple[Tensor, int]:
    """(sequence of each flattened row, number of sequences) for ``[B, T]``, or ``[N]`` with offsets ``[B + 1]``."""
    if cu_seqlens is None:
        rows = torch.arange(targets.numel(), device=targets.device)
        return rows // max(1, targets.shape[1]), targets.shape[0]
    rows = torch.arange(len(targets), device=targets.device)
    return torch.searchsorted(cu_seqlens[1:].long().contiguous(), rows, right=True), len(cu_seqlens) - 1


def token_weights(
    sequences: Tensor, num_sequences: int, aggregation: str, divisor: Tensor | None, *, budget: int | None
) -> Tensor:
    """The weights ``[n]`` of live tokens, in fp64: 1 / divisor, and for "grpo" 1 / length of the sequence as well.

    Without a divisor it is that of these tokens: sequences with a token, tokens, or ``budget`` for "dr_grpo".
    """
    lengths = torch.zeros(num_sequences, dtype=torch.float64, device=sequences.device)
    lengths.index_add_(0, sequences, torch.ones_like(sequences, dtype=torch.float64))
    if divisor is None:
        if aggregation == "dr_grpo" and budget is None:
            raise ValueError("num_tokens=None with aggregation='dr_grpo' on packed rows: give the constant budget.")
        own = {"grpo": (lengths > 0).sum(), "dapo": lengths.sum(), "dr_grpo": lengths.new_tensor(budget or 1)}
        divisor = own[aggregation]
    weights = 1.0 / divisor.double().expand(sequences.shape)
    return weights / lengths[sequences] if aggregation == "grpo" else weights
