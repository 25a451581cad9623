"""Work done over work needed, counted: rows of products that padding adds, and bytes of the weight's gradient that pass by.

Counted at N = 64 to 8192 from the plans that the GPU path runs, and on the CPU from the products themselves.
"""

import pytest
import torch

from urt_kernels import linear_loss, linear_token_logprobs
from urt_kernels.linear_logprobs.chunks import balanced, rounded_up, whole_sequences
from urt_kernels.tuning import HEIGHT_STEP, ChunkedHead, chunked_backward, chunked_forward, one_pass

VOCABULARY = 151936
MOST = {64: 2.0, 1100: 1.1, 2400: 1.05, 4224: 1.05, 5000: 1.05, 8192: 1.0}
PLANS: dict[str, ChunkedHead] = {
    "forward": chunked_forward(VOCABULARY),
    "backward": chunked_backward(VOCABULARY),
    "one pass": one_pass(VOCABULARY, 2, trains_weight=True),
    "one pass, frozen weight": one_pass(VOCABULARY, 2, trains_weight=False),
}


def heights(num_rows: int, plan: ChunkedHead) -> list[int]:
    chunks = balanced(num_rows, plan.rows, step=HEIGHT_STEP)
    return [rounded_up(rows.stop - rows.start, HEIGHT_STEP) for rows in chunks]


@pytest.mark.parametrize("form", PLANS)
@pytest.mark.parametrize("num_rows", MOST)
def test_rows_computed_over_rows_needed(form, num_rows):
    computed = heights(num_rows, PLANS[form])
    assert sum(computed) <= MOST[num_rows] * num_rows
    assert max(computed) <= PLANS[form].rows


def test_the_weights_gradient_passes_by_twice_for_8192_rows():
    """Once written, once read and written: 3 x 4 bytes a number at 8192 rows, where 1024 rows at a time made it 15 x 4."""
    assert len(heights(8192, PLANS["one pass"])) == 2
    assert len(heights(4096, PLANS["one pass"])) == 1


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
