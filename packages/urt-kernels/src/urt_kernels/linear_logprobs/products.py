"""Matrix products with fp32 results from operands of any type: what keeps bf16 logits and bf16 sums out of the head."""

from __future__ import annotations

import torch
from torch import Tensor

from urt_kernels.linear_logprobs.chunks import rounded_up
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.tuning import HEIGHT_STEP

# Elements that the stride of a block of logits is a multiple of.
ALIGNMENT = 64


def product(left: Tensor, right: Tensor, out: Tensor) -> None:
    """out = left @ right in fp32."""
    if _keeps_fp32(left):
        torch.ops.aten.mm.dtype_out(left, right, out.dtype, out=out)
    else:
        torch.mm(left.to(out.dtype), right.to(out.dtype), out=out)


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right in fp32."""
    if _keeps_fp32(left):
        torch.ops.aten.addmm.dtype_out(total, left, right, total.dtype, out=total)
    else:
        total.addmm_(left.to(total.dtype), right.to(total.dtype))


def _keeps_fp32(operand: Tensor) -> bool:
    """Whether cuBLAS multiplies these operands as they are into an fp32 result; elsewhere they are widened first."""
    return operand.is_cuda and operand.dtype in (torch.bfloat16, torch.float16)


class Block:
    """One block of fp32 logits at a time, its rows 256 bytes aligned whatever the vocabulary.

    >>> Block([slice(0, 128)], 2048, hidden).view(128, 1105).stride()
    (1152, 1)
    """

    def __init__(self, rows: list[slice], columns: int, like: Tensor, *, dtype: torch.dtype = torch.float32) -> None:
        height = max((rounded_up(each.stop - each.start, HEIGHT_STEP) for each in rows), default=0)
        self.space = like.new_empty(height * rounded_up(columns, ALIGNMENT), dtype=dtype)

    def view(self, rows: int, columns: int) -> Tensor:
        stride = rounded_up(columns, ALIGNMENT)
        return self.space[: rows * stride].view(rows, stride)[:, :columns]


class Sums:
    """fp32 sums of the gradients while chunks of rows and blocks of the vocabulary go by. The first part of each is
    written, the others are added: nothing is filled with zeros.

    >>> sums = Sums(hidden, head, (True, True, False), into=None)
    >>> sums.add(gradient, rows, columns, chunk, weight)      # padded rows of gradient are zeros
    >>> sums.end_of_chunk(rows)
    >>> grad_hidden, grad_weight, _ = sums.finish(weight_dtype=torch.bfloat16, bias_dtype=torch.float32)
    """

    def __init__(self, hidden: Tensor, head: Head, needs: tuple[bool, bool, bool], *, into: Tensor | None) -> None:
        needs_hidden, needs_weight, needs_bias = needs
        make = hidden.new_empty if len(hidden) else hidden.new_zeros
        self.hidden = make(hidden.shape) if needs_hidden else None
        # An fp32 buffer takes the sums at once; one of fewer digits would round each of them.
        self.direct = into if into is not None and into.dtype == torch.float32 else None
        own = needs_weight and self.direct is None
        self.weight = make(head.weight.shape, dtype=torch.float32) if own else None
        bias = head.weight.shape[:1] if head.bias is None else head.bias.shape
        self.bias = make(bias, dtype=torch.float32) if needs_bias else None
        self.like, self.into = hidden, into
        self.chunk: Tensor | None = None

    def add(self, gradient: Tensor, rows: slice, columns: slice, chunk: Tensor, weight: Tensor) -> None:
        if self.hidden is not None:
            if self.chunk is None:
                self.chunk = torch.empty(chunk.shape, dtype=torch.float32, device=chunk.device)
                product(gradient, weight, out=self.chunk)
            else:
                add_product(self.chunk, gradient, weight)
        if self.direct is not None:
            add_product(self.direct[columns], gradient.T, chunk)
        elif self.weight is not None:
            (product_of if rows.start == 0 else add_product)(self.weight[columns], gradient.T, chunk)
        if self.bias is not None:
            sums = gradient.sum(0, dtype=torch.float32)
            self.bias[columns] = sums if rows.start == 0 else self.bias[columns] + sums

    def end_of_chunk(self, rows: slice) -> None:
        if self.hidden is not None and self.chunk is not None:
            self.hidden[rows] = self.chunk[: rows.stop - rows.start].to(self.hidden.dtype)
        self.chunk = None

    def finish(self, *, weight_dtype: torch.dtype, bias_dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Gradients of hidden, weight and bias; an empty tensor for each that nobody asked for or that went
        elsewhere."""
        if self.into is not None and self.weight is not None:
            self.into.add_(self.weight)
            self.weight = None
        pairs = ((self.hidden, self.like.dtype), (self.weight, weight_dtype), (self.bias, bias_dtype))
        return tuple(self.like.new_empty(0, dtype=dtype) if each is None else each.to(dtype) for each, dtype in pairs)


def product_of(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total = left @ right in fp32."""
    product(left, right, out=total)
