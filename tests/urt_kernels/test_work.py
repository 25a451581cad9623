"""Work done over work needed, counted: rows of products that padding adds, and bytes of the weight's gradient that pass by.

Counted at N = 64 to 8192 from the products that the GPU path asks for, and from those of the CPU.
"""

from importlib import import_module
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from urt_kernels import linear_loss, linear_token_logprobs
from urt_kernels.linear_logprobs.chunks import balanced, whole_sequences
from urt_kernels.linear_logprobs.head import Head
from urt_kernels.logprobs.upstream import Upstream
from urt_kernels.tuning import HEIGHT_STEP, one_pass

VOCABULARY = 151936
MOST = {64: 2.0, 1100: 1.1, 2400: 1.05, 4224: 1.05, 5000: 1.05, 8192: 1.0}


class Products(TorchDispatchMode):
    """Multiplications of every matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in ("aten::mm", "aten::addmm", "aten::addmm_"):
            left, right = args[-2:]
            self.total += left.shape[0] * left.shape[1] * right.shape[1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("form", ["log-probs", "their gradient", "one pass", "one pass, frozen weight"])
@pytest.mark.parametrize("num_rows", MOST)
def test_products_of_the_gpu_path(launches, num_rows, form, no_type_checks):
    """Its own host code on tensors without data, at the sizes of Qwen3-VL-8B: rows computed over rows needed."""
    hidden = torch.empty(num_rows, 4096, dtype=torch.bfloat16).requires_grad_()
    weight = torch.empty(VOCABULARY, 4096, dtype=torch.bfloat16).requires_grad_("frozen" not in form)
    targets, rows = torch.empty(num_rows, dtype=torch.int64), torch.empty(num_rows)
    with Products() as products:
        if form == "log-probs":
            linear_token_logprobs(hidden, weight, targets, temperature=1.0, validate_targets=False, impl="triton")
        elif form == "their gradient":
            upstream = Upstream(targets, rows, None, rows, rows, None, rows)
            head = Head(weight, None, 1.0, None, 1.0, None, None, None)
            with torch.no_grad():
                import_module("urt_kernels.linear_logprobs.triton").backward(
                    upstream, hidden, head, (True, True, False)
                )
        else:
            linear_loss(
                hidden[None], weight, targets[None], surrogate="nll", temperature=1.0, validate_targets=False,
                impl="triton",
            )  # fmt: skip
    own = {"log-probs": 1, "one pass, frozen weight": 2}.get(form, 3)
    needed = own * num_rows * 4096 * VOCABULARY
    assert needed <= products.total <= MOST[num_rows] * needed


def test_the_weights_gradient_passes_by_twice_for_8192_rows():
    """Once written, once read and written: 3 x 4 bytes a number at 8192 rows, where 1024 rows at a time made it 15 x 4."""
    largest = one_pass(VOCABULARY, 2, trains_weight=True).rows
    assert [len(list(balanced(rows, largest, step=HEIGHT_STEP))) for rows in (8192, 4096)] == [2, 1]


@pytest.mark.parametrize("largest", [10, 64])
def test_chunks_end_where_sequences_do(largest):
    generator = torch.Generator().manual_seed(largest)
    lengths = torch.randint(0, 11, (40,), generator=generator).clamp(max=10)
    ends = lengths.cumsum(0).tolist()
    chunks = whole_sequences(ends, largest)
    assert chunks is not None
    assert [rows.start for rows in chunks] == [0, *[rows.stop for rows in chunks[:-1]]]
    assert chunks[-1].stop == ends[-1]
    assert all(rows.stop in ends and 0 < rows.stop - rows.start <= largest for rows in chunks)
    assert whole_sequences([3, 14], 10) is None


@pytest.fixture
def counted(monkeypatch) -> list[int]:
    """Multiplications of every product that the reference asks for, below the ops."""
    totals = [0]

    def counting(original):
        def run(left, right, *rest, **named):
            total = named.get("out", left)
            inner = left if "out" in named else right
            other = right if "out" in named else rest[0]
            totals[0] += inner.shape[0] * inner.shape[1] * other.shape[1]
            assert total.shape == (inner.shape[0], other.shape[1])
            return original(left, right, *rest, **named)

        return run

    monkeypatch.setattr(torch, "mm", counting(torch.mm))
    monkeypatch.setattr(torch.Tensor, "addmm_", counting(torch.Tensor.addmm_))
    return totals


@pytest.mark.parametrize("num_rows", [64, 1100, 2400])
@pytest.mark.parametrize("trains_weight", [False, True])
def test_products_of_the_cpu(counted, num_rows, trains_weight):
    """One pass needs 2 products a row with a frozen weight and 3 with one that learns; log-probs and backward one more."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(num_rows, 16, generator=generator).requires_grad_()
    weight = torch.randn(300, 16, generator=generator).requires_grad_(trains_weight)
    targets = torch.randint(0, 300, (num_rows,), generator=generator)
    needed = num_rows * 300 * 16
    linear_loss(hidden[None], weight, targets[None], surrogate="nll", temperature=1.0).loss.backward()
    own = 2 + trains_weight
    assert own <= counted[0] / needed <= own + MOST[num_rows] - 1 + 1e-9
    counted[0] = 0
    linear_token_logprobs(hidden, weight, targets, temperature=1.0).logprobs.sum().backward()
    assert own + 1 <= counted[0] / needed <= own + 1 + 2 * (MOST[num_rows] - 1) + 1e-9
