"""Rows of a tensor of any strides, as a kernel addresses them without a copy."""

from typing import NamedTuple

from torch import Tensor


class RowLayout(NamedTuple):
    """Row r starts at (r // rows_per_outer) * stride_outer + (r % rows_per_outer) * stride_inner.

    >>> row_layout(torch.empty(4, 10, 100)[:, :-1])
    RowLayout(rows_per_outer=9, stride_outer=1000, stride_inner=100, stride_column=1)
    """

    rows_per_outer: int
    stride_outer: int
    stride_inner: int
    stride_column: int


def row_layout(tensor: Tensor) -> RowLayout | None:
    """The layout of the leading axes as two strides; None where they need more (the caller then copies)."""
    merged: list[tuple[int, int]] = []
    for size, stride in zip(tensor.shape[:-1], tensor.stride()[:-1], strict=True):
        if size == 1:
            continue
        if merged and merged[-1][1] == size * stride:
            merged[-1] = (merged[-1][0] * size, stride)
        else:
            merged.append((size, stride))
    if len(merged) > 2:
        return None
    (_, outer), (size, inner) = [(1, 0), (1, 0), *merged][-2:]
    return RowLayout(size, outer, inner, tensor.stride(-1))
