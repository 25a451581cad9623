"""How tokens and vocabulary are cut up for the chunked head."""

from collections.abc import Iterator

from torch import Tensor
from torch.nn.functional import pad


def spans(total: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``range(total)``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def padded(rows: Tensor, size: int) -> Tensor:
    """Rows followed by zeros up to ``size``.

    A matrix product of another height may take another path and add in another order; at one height, a row's bits do not
    depend on how many rows there are.
    """
    missing = size - len(rows)
    return rows if missing == 0 else pad(rows, (0, 0) * (rows.dim() - 1) + (0, missing))
