"""Weights that are read where they belong are those that transformers reads, on any division over processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from urt_core.errors import CheckpointError
from urt_train.model.policy import Policy


def run_loads(*arguments: object) -> str:
    program = Path(__file__).parents[1] / "load_runs.py"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(program.parents[2]), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    return run.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_every_division_reads_the_same_model(tmp_path, tiny_folder, spec):
    spec.save(tmp_path)
    assert run_loads(tiny_folder, tmp_path, tmp_path).endswith("as it should be\n")


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs Linux's count of a process's memory")
def test_eight_processes_hold_the_model_once(tmp_path, tiny_folder, spec):
    spec.save(tmp_path)
    said = run_loads(tiny_folder, tmp_path, tmp_path, "--large", 400)
    print(said)
    lines = [line for line in said.splitlines() if " x the float32" in line]
    assert len(lines) == 2
    for line in lines:
        assert float(line.partition(": ")[2].partition(" x")[0]) < 1.2, line


def test_one_process_may_defer_too(tiny_folder, spec):
    policy = Policy.from_pretrained(tiny_folder, spec=spec, is_deferred=True)
    assert all(parameter.is_meta for parameter in policy.parameters())
    policy.load(torch.device("cpu"))
    right = Policy.from_pretrained(tiny_folder, spec=spec)
    for name, tensor in right.model.state_dict().items():
        assert torch.equal(policy.model.state_dict()[name], tensor), name


@pytest.mark.parametrize("is_deferred", [False, True])
def test_a_missing_weight_is_an_error_and_no_random_one(tmp_path, tiny_folder, spec, is_deferred):
    for path in tiny_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    state = load_file(tmp_path / "model.safetensors")
    lost = sorted(state)[3]
    del state[lost]
    save_file(state, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=f"lacks 1 weights of its model, such as {lost}"):
        Policy.from_pretrained(tmp_path, spec=spec, is_deferred=is_deferred).load(torch.device("cpu"))
