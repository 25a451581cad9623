"""Log-probs over a weight that is there part by part, and their gradients: what log-probs of a head in parts have in
common with the second pass of an objective."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.linear_logprobs.merge import merged_statistics
from urt_kernels.linear_logprobs.running import RowStatistics
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.one_pass.held import Held


def statistics(
    two_steps: Any, hidden: Tensor, head: Head, targets: Tensor, held: Held, *, entropy: bool
) -> RowStatistics:
    """Of the rows over the whole vocabulary. ``two_steps`` is the implementation of log-probs and their gradient;
    ``targets`` are counted from the first column that is held here, as `local_targets` gives them."""
    found = [
        (two_steps.statistics(hidden, part, local, entropy), local >= 0)
        for _, part, local in _heads(head, held, targets)
    ]
    if len(found) == 1:
        return held.whole_rows(found[0][0], targets)
    columns = [torch.stack(each) for each in zip(*(own for own, _ in found), strict=True)]
    inside = torch.stack([inside for _, inside in found])
    return held.whole_rows(merged_statistics(RowStatistics(*columns), inside), targets)


def gradients(
    two_steps: Any,
    upstream: Upstream,
    hidden: Tensor,
    head: Head,
    held: Held,
    needs: tuple[bool, bool, bool],
    *,
    into: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """By hidden states, weight and bias; an empty tensor for each that ``needs`` leaves out. The statistics of the whole
    row stand for those of a part: its softmax is then that of the row."""
    needs_hidden, learns, needs_bias = needs
    dtype = compute_dtype(hidden, head.weight, head.bias)
    by_hidden, by_weight = hidden.new_empty(0, dtype=dtype), head.weight.new_empty(0)
    by_bias = hidden.new_empty(0 if head.bias is None or not needs_bias else len(head.bias), dtype=dtype)
    begun = False
    for columns, part, local in _heads(head, held, upstream.targets, learns=learns):
        known = upstream._replace(targets=local)
        own, by_weight, own_bias = two_steps.backward(known, hidden, part, needs, into=into if held.sums_here else None)
        if needs_bias:
            by_bias[columns] = own_bias.to(dtype)
        if needs_hidden:
            by_hidden = by_hidden.add_(own) if begun else own.to(dtype)
        if learns and not held.sums_here:
            held.add_sum(by_weight)
        begun = True
    if needs_hidden:
        held.sum_(by_hidden)
    return by_hidden.to(hidden.dtype), held.gradient(by_weight), by_bias


def local_targets(targets: Tensor, columns: slice) -> Tensor:
    """Targets as counted from the first of these columns; -1 for those elsewhere, which is no entry's."""
    inside = (targets >= columns.start) & (targets < columns.stop)
    return torch.where(inside, targets - columns.start, -1)


def _heads(head: Head, held: Held, targets: Tensor, *, learns: bool = False) -> Iterator[tuple[slice, Head, Tensor]]:
    """The columns of one part of the weight at a time, the head of that part, and the targets in it."""
    for first, weight in held.parts(learns=learns):
        columns = slice(first, first + len(weight))
        bias = None if head.bias is None else head.bias[columns]
        allowed = None if head.allowed is None else head.allowed[:, columns]
        yield columns, head._replace(weight=weight, bias=bias, allowed=allowed), local_targets(targets, columns)
