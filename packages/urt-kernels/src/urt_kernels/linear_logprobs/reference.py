"""linear_token_logprobs in plain PyTorch: the CPU kernel and the test oracle.

Tokens are taken in chunks and the vocabulary in blocks, so that the workspace does not depend on the number of tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.checks import compute_dtype
from urt_kernels.linear_logprobs.chunks import balanced, padded, rounded_up, spans
from urt_kernels.linear_logprobs.head import TILE_ROWS, Head
from urt_kernels.linear_logprobs.running import RowStatistics, RunningRows
from urt_kernels.logprobs.upstream import Upstream, log_p_gradient

CHUNK_ROWS = 256
VOCABULARY_BLOCK = 8192


def forward(hidden: Tensor, head: Head, targets: Tensor, entropy: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(log-probs, entropies, top-1 matches, log-sum-exps) of the rows of the head's logits."""
    return statistics(hidden, head, targets, entropy)[:4]


def statistics(hidden: Tensor, head: Head, targets: Tensor, entropy: bool) -> RowStatistics:
    dtype = compute_dtype(hidden, head.weight, head.bias)
    num_rows = len(hidden)
    numbers = [torch.empty(num_rows, dtype=dtype, device=hidden.device) for _ in range(4)]
    top1 = torch.empty(num_rows, dtype=torch.bool, device=hidden.device)
    found = RowStatistics(numbers[0], numbers[1], top1, numbers[2], numbers[3])
    for rows in balanced(num_rows, CHUNK_ROWS, step=TILE_ROWS):
        running, part = RunningRows(targets[rows], dtype=dtype, entropy=entropy), head.of_rows(rows)
        chunk = chunk_of(hidden, rows, head, dtype)
        for columns in spans(len(head.weight), VOCABULARY_BLOCK):
            logits = part.logits(chunk, head.rounded(head.weight[columns], dtype), columns)
            running.add(logits[: rows.stop - rows.start], columns)
        for values, own in zip(found, running.finish(), strict=True):
            values[rows] = own
    return found if entropy else found._replace(entropies=found.entropies.new_empty(0))


def chunk_of(hidden: Tensor, rows: slice, head: Head, dtype: torch.dtype) -> Tensor:
    """Hidden states as the products take them, padded to whole tiles."""
    return padded(head.rounded(hidden[rows], dtype), rounded_up(rows.stop - rows.start, TILE_ROWS))


def logits_gradient(logits: Tensor, columns: slice, upstream: Upstream, head: Head) -> Tensor:
    """d loss / d (X W' + b) from the logits ``[n, columns]``, in their place."""
    slope = head.slope(logits)
    log_p = logits.sub_(upstream.lse[:, None])
    gradient = log_p_gradient(log_p, columns, upstream)
    return gradient.mul_(slope).masked_fill_(~upstream.alive()[:, None], 0.0)


def backward(
    upstream: Upstream, hidden: Tensor, head: Head, needs: tuple[bool, bool, bool], *, into: Tensor | None = None
) -> tuple[Tensor, ...]:
    """Gradients of hidden, weight and bias; an empty tensor for each that ``needs`` leaves out.

    With ``into``, the weight's gradient is added to it and none is returned. The logits are formed again; dX = dz W, dW
    = dz' X summed over the chunks in the compute type.
    """
    dtype = compute_dtype(hidden, head.weight, head.bias)
    upstream = upstream.to(dtype)
    sums = Gradients.of(hidden, head, needs, dtype, into=into)
    for rows in balanced(len(hidden), CHUNK_ROWS, step=TILE_ROWS):
        count, part = rows.stop - rows.start, head.of_rows(rows)
        chunk = chunk_of(hidden, rows, head, dtype)
        for columns in spans(len(head.weight), VOCABULARY_BLOCK):
            weight = head.rounded(head.weight[columns], dtype)
            logits = part.logits(chunk, weight, columns)[:count]
            sums.add(logits_gradient(logits, columns, upstream.of_rows(rows), part), rows, columns, chunk, weight)
    bias_dtype = head.weight.dtype if head.bias is None else head.bias.dtype
    return sums.finish(hidden, weight_dtype=head.weight.dtype, bias_dtype=bias_dtype)


class Gradients:
    """Sums of the gradients of hidden states, weight and bias while their parts go by.

    >>> sums = Gradients.of(hidden, head, (True, True, False), torch.float32)
    >>> sums.add(gradient, rows, columns, chunk, weight)     # gradient [n, columns], chunk [n or more, H], weight [columns, H]
    >>> grad_hidden, grad_weight, _ = sums.finish(hidden, weight_dtype=torch.bfloat16, bias_dtype=torch.float32)
    """

    def __init__(self, hidden: Tensor | None, weight: Tensor | None, bias: Tensor | None, into: Tensor | None) -> None:
        self.hidden, self.weight, self.bias = hidden, weight, bias
        self.into = into

    @classmethod
    def of(
        cls,
        hidden: Tensor,
        head: Head,
        needs: tuple[bool, bool, bool],
        dtype: torch.dtype,
        *,
        into: Tensor | None = None,
    ) -> Gradients:
        """Nothing is filled with zeros: the first part is written, the others are added."""
        bias = head.weight.shape[:1] if head.bias is None else head.bias.shape
        shapes = (hidden.shape, head.weight.shape, bias)
        make = hidden.new_empty if len(hidden) > 0 else hidden.new_zeros
        own = (needs[0], needs[1] and (into is None or into.dtype != dtype), needs[2])
        sums = [make(shape, dtype=dtype) if need else None for shape, need in zip(shapes, own, strict=True)]
        return cls(sums[0], sums[1], sums[2], into)

    def add(self, gradient: Tensor, rows: slice, columns: slice, chunk: Tensor, weight: Tensor) -> None:
        count = rows.stop - rows.start
        if self.hidden is not None:
            _accumulate(self.hidden[rows], gradient, weight, first=columns.start == 0)
        if self.weight is not None:
            _accumulate(self.weight[columns], gradient.T, chunk[:count], first=rows.start == 0)
        elif self.into is not None:
            self.into[columns].addmm_(gradient.T, chunk[:count])
        if self.bias is not None:
            sums = gradient.sum(0)
            self.bias[columns] = sums if rows.start == 0 else self.bias[columns] + sums

    def finish(self, hidden: Tensor, *, weight_dtype: torch.dtype, bias_dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The sums in the types asked for (that of hidden for its own); an empty tensor for each that was not asked
        for."""
        if self.into is not None and self.weight is not None:
            self.into.add_(self.weight)
            self.weight = None
        pairs = ((self.hidden, hidden.dtype), (self.weight, weight_dtype), (self.bias, bias_dtype))
        return tuple(hidden.new_empty(0, dtype=dtype) if each is None else each.to(dtype) for each, dtype in pairs)


def _accumulate(total: Tensor, left: Tensor, right: Tensor, *, first: bool) -> None:
    if first:
        torch.mm(left, right, out=total)
    else:
        total.addmm_(left, right)
