"""The objective where tokens that depend on each other do not fit into one chunk: all log-probs first, the gradient by a
second pass over the head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.linear_logprobs.merge import merged_statistics
from urt_kernels.linear_logprobs.running import RowStatistics
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.one_pass.held import Held
from urt_kernels.one_pass.op import Pass
from urt_kernels.policy_loss.objective import Slopes, Tokens, slopes
from urt_kernels.policy_loss.settings import GRPOSettings


def with_second_pass(
    two_steps: Any,
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    tokens: Tokens,
    settings: GRPOSettings,
    options: Pass,
    held: Held,
) -> tuple[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, ...]]:
    """``two_steps`` is the implementation of log-probs and their gradient."""
    found = [
        (two_steps.statistics(hidden, part, local, options.entropy), local >= 0)
        for _, part, local in _heads(head, held, targets)
    ]
    statistics = held.whole_rows(_merged(found), targets)
    own = statistics.entropies if options.entropy else None
    slope = slopes(statistics.logprobs, own, tokens, settings, differentiate=options.differentiates)
    dtype = compute_dtype(hidden, head.weight, head.bias)
    gradients = (hidden.new_empty(0), *(hidden.new_empty(0, dtype=dtype) for _ in range(2)))
    if options.differentiates:
        gradients = _gradients(two_steps, hidden, head, targets, slope, statistics, options, held, dtype)
    return slope.loss, statistics.logprobs, statistics.entropies, statistics.top1, gradients


def upstream_of(slope: Slopes, found: RowStatistics, targets: Tensor, options: Pass) -> Upstream:
    """The objective's slopes as what flows into log-probs and entropies."""
    return Upstream(
        targets,
        found.logprobs,
        found.entropies if options.entropy else None,
        found.lse,
        slope.policy * options.assumed,
        None if slope.entropy is None else slope.entropy * options.assumed,
        None,
    )


def _gradients(
    two_steps: Any,
    hidden: Tensor,
    head: Head,
    targets: Tensor,
    slope: Slopes,
    statistics: RowStatistics,
    options: Pass,
    held: Held,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:
    needs_hidden, learns, needs_bias = options.needs
    upstream = upstream_of(slope, statistics, targets, options)
    by_hidden, by_weight, by_bias = hidden.new_empty(0), hidden.new_empty(0, dtype=dtype), hidden.new_empty(0)
    if head.bias is not None and needs_bias:
        by_bias = hidden.new_empty(head.bias.shape, dtype=dtype)
    for columns, part, local in _heads(head, held, targets, learns=learns):
        needs = (needs_hidden, learns, needs_bias)
        into = options.weight_grad if held.sums_here else None
        known = upstream._replace(targets=local)
        own, by_weight, own_bias = two_steps.backward(known, hidden, part, needs, into=into)
        if needs_bias:
            by_bias[columns] = own_bias.to(dtype)
        by_hidden = own if by_hidden.numel() == 0 else by_hidden.to(dtype) + own
        if learns and not held.sums_here:
            held.add_sum(by_weight)
    by_hidden = by_hidden.to(dtype)
    if needs_hidden:
        held.sum_(by_hidden)
    return by_hidden.to(hidden.dtype), held.gradient(by_weight.to(dtype)), by_bias.to(dtype)


def _heads(head: Head, held: Held, targets: Tensor, *, learns: bool = False) -> Any:
    """The columns of one part of the weight at a time, the head of that part, and the targets in it: -1 for those that
    are elsewhere."""
    for first, weight in held.parts(learns=learns):
        columns = slice(first, first + len(weight))
        inside = (targets >= columns.start) & (targets < columns.stop)
        yield (
            columns,
            head._replace(
                weight=weight,
                bias=None if head.bias is None else head.bias[columns],
                allowed=None if head.allowed is None else head.allowed[:, columns],
            ),
            torch.where(inside, targets - first, -1),
        )


def _merged(found: list[tuple[RowStatistics, Tensor]]) -> RowStatistics:
    if len(found) == 1:
        return found[0][0]
    columns = [torch.stack(each) for each in zip(*(statistics for statistics, _ in found), strict=True)]
    return merged_statistics(RowStatistics(*columns), torch.stack([inside for _, inside in found]))
