"""A checkpoint of any number of processes, sharded or not, goes on in any other; random states are those of before."""

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from urt_train.runtime.checkpoints.training_state import random_state, set_random_state


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_division_loads_every_other(tmp_path):
    program = Path(__file__).parents[2] / "reshard_runs.py"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", program, tmp_path], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert run.stdout.endswith("as it should be\n")


def test_all_generators_go_on_as_they_would_have():
    plain, tensors = random_state()
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}

    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    expected = draws()
    assert draws() != expected
    set_random_state(plain, tensors)
    assert draws() == expected
