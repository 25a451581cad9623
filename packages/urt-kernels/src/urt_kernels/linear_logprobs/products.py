"""Matrix products with fp32 results from operands of any type: what keeps bf16 logits and bf16 sums out of the head."""

import torch
from torch import Tensor


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
