"""The objective where tokens that depend on each other do not fit into one chunk: all log-probs first, the gradient by a
second pass over the head."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.linear_logprobs.running import RowStatistics
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.one_pass.held import Held
from urt_kernels.one_pass.op import Pass
from urt_kernels.one_pass.part_by_part import gradients, statistics
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
    found = statistics(two_steps, hidden, head, targets, held, entropy=options.entropy)
    own = found.entropies if options.entropy else None
    slope = slopes(found.logprobs, own, tokens, settings, differentiate=options.differentiates)
    dtype = compute_dtype(hidden, head.weight, head.bias)
    by_hidden, by_weight, by_bias = (hidden.new_empty(0), *(hidden.new_empty(0, dtype=dtype) for _ in range(2)))
    if options.differentiates:
        upstream = upstream_of(slope, found, targets, options)
        by_hidden, by_weight, by_bias = gradients(
            two_steps, upstream, hidden, head, held, options.needs, into=options.weight_grad
        )
    return slope.loss, found.logprobs, found.entropies, found.top1, (by_hidden, by_weight.to(dtype), by_bias)


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
