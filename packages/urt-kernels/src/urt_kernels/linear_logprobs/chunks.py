"""How tokens and vocabulary are cut up for the chunked head."""

from collections.abc import Iterator, Sequence

from torch import Tensor
from torch.nn.functional import pad


def spans(total: int, size: int) -> Iterator[slice]:
    """Consecutive slices of at most ``size`` that cover ``range(total)``."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))


def balanced(total: int, largest: int, *, step: int) -> Iterator[slice]:
    """As few slices as ``largest`` allows, all of the same multiple of ``step`` (the last may be shorter).

    >>> [rows.stop - rows.start for rows in balanced(4224, 4096, step=128)]    # 4096 + 128 would pad 128 to 4096
    [2176, 2048]
    """
    parts = max(1, -(-total // largest))
    return spans(total, rounded_up(-(-total // parts), step) or step)


def whole_sequences(ends: Sequence[int], largest: int) -> list[slice] | None:
    """Slices of at most ``largest`` rows that end where a sequence does (``ends`` rise); None where a sequence is
    longer."""
    slices, start, stop = [], 0, 0
    for end in ends:
        if end - start > largest:
            if stop == start or end - stop > largest:
                return None
            slices.append(slice(start, stop))
            start = stop
        stop = end
    return [*slices, slice(start, stop)] if stop > start else slices


def rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step


def padded(rows: Tensor, size: int) -> Tensor:
    """Rows followed by zeros up to ``size``."""
    missing = size - len(rows)
    return rows if missing == 0 else pad(rows, (0, 0) * (rows.dim() - 1) + (0, missing))
