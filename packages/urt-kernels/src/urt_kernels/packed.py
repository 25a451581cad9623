"""Packed rows: sequences one behind the other without padding, with the offsets where each begins (``cu_seqlens``)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from urt_kernels.checks import INTEGERS, check_dtype, check_same_device


class PackedRows(NamedTuple):
    """Where each token of a padded ``[B, T]`` is in the packed ``[N]``.

    >>> packed_rows(torch.tensor([0, 2, 3]), like=torch.empty(3))
    PackedRows(index=tensor([[0, 1], [2, 2]]), present=tensor([[True, True], [True, False]]))
    """

    index: Tensor
    present: Tensor

    def padded(self, values: Tensor) -> Tensor:
        """``[N]`` as ``[B, T]``, differentiable; behind a sequence's end stands some other token's value."""
        return values[self.index]

    def by_sequence(self, values: Tensor) -> Tensor:
        """One value per sequence stays as it is, one per token becomes ``[B, T]``."""
        return values if len(values) == len(self.index) and values.dim() == 1 else self.padded(values)


def packed_rows(cu_seqlens: Tensor, *, like: Tensor) -> PackedRows:
    """The layout of ``like [N]``. On a GPU this waits for the device."""
    check_offsets("cu_seqlens", cu_seqlens, len(like), like.device, meaning="the number of packed rows")
    lengths = cu_seqlens.diff()
    columns = torch.arange(int(lengths.max()) if len(lengths) else 0, device=like.device)
    present = columns < lengths[:, None]
    index = (cu_seqlens[:-1, None].long() + columns).masked_fill(~present, 0)
    return PackedRows(index, present)


def check_offsets(
    name: str, offsets: Tensor, total: int, device: torch.device, *, meaning: str, look: bool = True
) -> None:
    """Offsets rise from 0 to ``total``. Their values, which a GPU waits for, are looked at with ``look`` alone, and never
    while a compiler traces the call."""
    check_dtype(name, offsets, INTEGERS)
    check_same_device(**{"the values": torch.empty(0, device=device), name: offsets})
    if offsets.dim() != 1 or len(offsets) < 1:
        raise ValueError(f"{name} has shape {list(offsets.shape)}: it must be one axis of at least one offset.")
    if not look or torch.compiler.is_compiling():
        return
    values = offsets.tolist()
    if values[0] != 0 or values[-1] != total or any(first > second for first, second in pairwise(values)):
        raise ValueError(f"{name}={values}: it must rise from 0 to {total}, {meaning}.")
