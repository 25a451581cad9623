"""The Triton kernels on the CPU: test_triton_*.py once more, in a process with Triton's interpreter."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from urt_kernels import triton_available

FOLDER = Path(__file__).parent
# The interpreter computes in NumPy: scalars are arrays of one element to it, and NaN is a warning.
NUMPY_OF_THE_INTERPRETER = ("-W", "ignore::DeprecationWarning", "-W", "ignore::RuntimeWarning")


@pytest.mark.skipif(not triton_available(), reason="Triton is not installed")
@pytest.mark.parametrize("file", sorted(path.name for path in FOLDER.glob("test_triton_*.py")))
def test_kernels_in_the_interpreter(file):
    """The interpreter has to be chosen before the kernels are defined, hence the process of its own."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *NUMPY_OF_THE_INTERPRETER, str(FOLDER / file)],
        env={**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"},
        cwd=FOLDER.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert " passed" in run.stdout
    assert "skipped" not in run.stdout, run.stdout[-2000:]
