"""The Triton one pass of heads in parts against the whole head in fp64, over gloo on the CPU."""

from pathlib import Path

import pytest

from tests.urt_kernels.ranks import differences


def test_the_one_pass_over_ranks_is_that_of_the_whole_head(device):
    if device == "cuda":
        pytest.skip("ranks of gloo hold their tensors on the CPU, which kernels compiled for a GPU can't read")
    for found in differences(Path(__file__).parent / "sharded_loss_ranks.py", 2, "float32", "triton"):
        assert len(found) == 2 * 2 * 3 + 1
        assert max(found.values()) < 1e-5
