"""The head under DeepSpeed's ZeRO-3 itself, on two CPU processes over gloo."""

from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest

from tests.urt_kernels.ranks import differences


@pytest.mark.slow
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="deepspeed is not installed (pip install deepspeed)")
@pytest.mark.skipif(
    which("g++") is None, reason="no g++: deepspeed compiles its reduction over shared memory when it starts"
)
def test_a_weight_that_zero_three_holds_is_the_whole_head() -> None:
    """Losses and gradients of a call in the module that owns the weight; the weight's is the mean over ranks."""
    for found in differences(Path(__file__).parent / "zero_three_ranks.py", 2):
        assert len(found) == 2 * 3
        assert max(found.values()) < 1e-6
