"""The gate of batch invariance: a row's logits have equal bits at every height that a product may have, and at every place."""

from __future__ import annotations

import torch

from urt_kernels.linear_logprobs.head import Head
from urt_kernels.linear_logprobs.products import product
from urt_kernels.tuning import HEIGHT_STEP


def unequal_heights(*, size: int, columns: int, tallest: int, dtype: torch.dtype, device: torch.device) -> list[int]:
    """Heights at which some row's bits differ from those it has in the tallest product; empty where the claim holds.

    On a GPU these are the products of the Triton implementation, on a CPU those of the reference.
    """
    generator = torch.Generator(device).manual_seed(0)
    hidden = torch.randn(tallest, size, generator=generator, device=device).to(dtype)
    weight = torch.randn(columns, size, generator=generator, device=device).to(dtype)
    whole = logits(hidden, weight)
    wrong = []
    for height in range(HEIGHT_STEP, tallest + 1, HEIGHT_STEP):
        # From the end of the batch: another height and another place at once.
        if not torch.equal(logits(hidden[tallest - height :], weight), whole[tallest - height :]):
            wrong.append(height)
    return wrong


def logits(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    if hidden.is_cuda:
        out = torch.empty(len(hidden), len(weight), dtype=torch.float32, device=hidden.device)
        product(hidden, weight.T, out=out)
        return out
    head = Head(weight, None, 1.0, None, 1.0, None, None, None)
    return head.logits(hidden.float(), weight.float(), slice(0, len(weight)))
