"""Log-probs over a weight that is there one part at a time, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs.merge import Merged, merged
from urt_kernels.linear_logprobs.op import linear_token_logprobs_backward_op, linear_token_logprobs_op


@runtime_checkable
class Parts(Protocol):
    """A ``[V, H]`` weight, part by part."""

    vocabulary: int
    needs_gradient: bool

    def begin(self) -> None:
        """Before the gradients of a backward pass."""
        ...

    def blocks(self) -> Iterator[list[tuple[int, Tensor]]]:
        """Parts that are there together: the first column of each and its rows of the weight."""
        ...

    def add(self, gradients: list[Tensor]) -> None:
        """The gradients of the parts of the block that `blocks` gave last."""
        ...

    def gradients(self) -> tuple[Tensor | None, ...]:
        """Of the tensors behind the parts, once every block had its own."""
        ...


def by_parts(
    hidden: Tensor, targets: Tensor, parts: Parts, temperature: float, entropy: bool, impl: str, *tensors: Tensor
) -> Merged:
    """(log-probs, entropies, log-sum-exps) of ``hidden [n, H]``; ``tensors`` are those that the parts' gradients go
    to."""
    logprobs, entropies, lse = _ByParts.apply(hidden, targets, parts, temperature, entropy, impl, *tensors)  # pyright: ignore[reportGeneralTypeIssues]
    return logprobs, entropies if entropy else None, lse


class _ByParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        targets: Tensor,
        parts: Parts,
        temperature: float,
        entropy: bool,
        impl: str,
        *_: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        columns: list[list[Tensor]] = [[], [], [], []]
        for block in parts.blocks():
            for first, weight in block:
                inside, local = _local(targets, first, len(weight))
                logprobs, entropies, _, lse = linear_token_logprobs_op(
                    hidden, weight, None, local.clamp(min=0), *_head(temperature), entropy, impl, False
                )
                for column, values in zip(columns, (logprobs, entropies, lse, inside), strict=True):
                    column.append(values)
        logprobs, entropies, lse, inside = (torch.stack(column) for column in columns)
        whole = merged(logprobs, entropies if entropy else None, lse, inside)
        ctx.parts, ctx.temperature, ctx.entropy, ctx.impl = parts, temperature, entropy, impl
        own_entropy = whole[1] if whole[1] is not None else lse.new_empty(0)
        ctx.save_for_backward(hidden, targets, whole[0], own_entropy, whole[2])
        return whole[0], own_entropy, whole[2]

    @staticmethod
    def backward(ctx: Any, grad_logprobs: Tensor, grad_entropy: Tensor, grad_lse: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        hidden, targets, logprobs, entropies, lse = ctx.saved_tensors
        parts: Parts = ctx.parts
        total = torch.zeros(hidden.shape, dtype=compute_dtype(hidden), device=hidden.device)
        needs = (ctx.needs_input_grad[0], parts.needs_gradient)
        parts.begin()
        for block in parts.blocks():
            gradients = []
            for first, weight in block:
                # The statistics of the whole row stand for those of the part: its softmax is then that of the row.
                grad_hidden, grad_weight, _ = linear_token_logprobs_backward_op(
                    grad_logprobs,
                    grad_entropy if ctx.entropy else None,
                    grad_lse,
                    hidden,
                    weight,
                    None,
                    _local(targets, first, len(weight))[1],
                    logprobs,
                    entropies if ctx.entropy else None,
                    lse,
                    *_head(ctx.temperature),
                    *needs,
                    False,
                    ctx.impl,
                )
                if needs[0]:
                    total += grad_hidden
                gradients.append(grad_weight)
            if parts.needs_gradient:
                parts.add(gradients)
        own = total.to(hidden.dtype) if needs[0] else None
        return own, None, None, None, None, None, *parts.gradients()


def _head(temperature: float) -> tuple[float, None, float, None, None, None]:
    return temperature, None, 1.0, None, None, None


def _local(targets: Tensor, first: int, size: int) -> tuple[Tensor, Tensor]:
    """Which targets are in this part, and their index there; -1 elsewhere, which is no entry's."""
    inside = (targets >= first) & (targets < first + size)
    return inside, torch.where(inside, targets - first, -1)
