# pyright: reportMissingImports=false, reportIndexIssue=false
"""The logarithm of the entropy's and of a mixture's gradient against fp64."""

from typing import no_type_check

import pytest
import torch

triton = pytest.importorskip("triton")

from triton import language as tl  # noqa: E402

from urt_kernels.logprobs.triton import quick_log2  # noqa: E402


@triton.jit
@no_type_check
def logarithm_kernel(values, out, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + offsets, quick_log2(tl.load(values + offsets)))


def test_over_the_normal_numbers(device):
    """Exact at 1, near it within 5e-7, and within half a unit of fp32 at 64 to 126."""
    exponents = torch.empty(2**14).uniform_(-126, 0, generator=torch.Generator().manual_seed(0))
    near_one = 1.0 - torch.logspace(-7, -0.5, 2**14)
    values = torch.cat([exponents.exp2(), near_one, torch.ones(2**14)]).to(device)
    out = torch.empty_like(values)
    logarithm_kernel[(3 * 2**4,)](values, out, BLOCK=2**10)
    errors = (out.double() - values.double().log2()).abs()
    assert errors.max() < 5e-6
    assert errors[values > 0.25].max() < 5e-7
    assert errors[values == 1].max() == 0
