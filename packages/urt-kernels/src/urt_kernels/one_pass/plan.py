"""Which rows go together through the head."""

from __future__ import annotations

import torch

from urt_kernels.linear_logprobs.chunks import balanced, whole_sequences
from urt_kernels.policy_loss.objective import Tokens


def parts(tokens: Tokens, *, together: int, largest: int, step: int) -> list[tuple[slice, Tokens]] | None:
    """Chunks of rows with their tokens; None where ``together`` sequences are more than ``largest`` rows.

    Without ``together``, a token's slope depends on that token alone and any cut will do. With it, a cut is where a set
    of so many sequences ends; the number of tokens of each is then read back, which on a GPU waits for the device.
    """
    num_rows = len(tokens.weights)
    if together == 0:
        slices = list(balanced(num_rows, largest, step=step))
        return [(rows, tokens.part(rows, first_sequence=0, num_sequences=tokens.num_sequences)) for rows in slices]
    lengths = torch.bincount(tokens.sequences, minlength=tokens.num_sequences)
    ends = lengths.cumsum(0)[together - 1 :: together].tolist()
    if num_rows and (not ends or ends[-1] < num_rows):
        ends.append(num_rows)
    slices = whole_sequences(ends, largest)
    if slices is None:
        return None
    found, first = [], 0
    for rows in slices:
        # Empty sequences at a cut stay with the chunk before it.
        last = ends.index(rows.stop)
        while last + 1 < len(ends) and ends[last + 1] == rows.stop:
            last += 1
        stop = min(tokens.num_sequences, (last + 1) * together)
        found.append((rows, tokens.part(rows, first_sequence=first, num_sequences=stop - first)))
        first = stop
    return found
