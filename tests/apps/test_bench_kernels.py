"""python apps/bench_kernels.py on a machine without a GPU: gates, predictions, the sweep in Triton's interpreter."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from urt_kernels import triton_available

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "apps" / "bench_kernels.py"
SWEEP = """
import sys
from pathlib import Path
sys.path.insert(0, "apps")
import torch
from benchmarks.kernels.sweep import sweep, write_table
from urt_kernels import tuning
small = {
    "forward_blocks": [{"block": 32, "num_warps": 4}, {"block": 64, "num_warps": 4}],
    "backward_blocks": [{"block": 32, "num_warps": 4}],
    "chunked_forward": [{"rows": 128, "columns": 64}],
    "one_pass": [{"rows": 128, "columns": 32}, {"rows": 128, "columns": 64}],
}
result = sweep(torch.device("cpu"), num_rows=3, vocabulary=70, size=16, repetitions=1, candidates=small)
assert tuning.TABLE == {}, "the sizes of the sweep stay in the sweep"
write_table(result, Path(sys.argv[1]))
"""


def bench(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", str(BENCH), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env={**os.environ, **environment}
    )


def test_the_pages_predictions_are_those_of_the_arithmetic():
    run = bench("--predict")
    assert run.returncode == 0, run.stderr
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    assert run.stdout.strip() in page, "run python apps/bench_kernels.py --predict and put it into docs/kernels.md"


def test_gates_in_fp32_and_bf16():
    run = bench("--check-only")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "equal bits of a row at every height" in run.stdout
    ours = [line for line in run.stdout.splitlines() if "urt reference" in line]
    assert sum("bf16" in line for line in ours) >= 6
    assert all(line.rstrip().endswith("passed") for line in ours), run.stdout


def test_one_operation_alone():
    run = bench("--check-only", "--only", "group_advantages")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "grpo_loss" not in run.stdout.split("commit:")[1]
    assert bench("--check-only", "--only", "no such case").returncode == 1


@pytest.mark.parametrize("flag", ["--profile", "--sweep=x.json"])
def test_what_needs_a_gpu_says_so(flag):
    run = bench(flag, CUDA_VISIBLE_DEVICES="")
    assert run.returncode == 1
    assert "need a CUDA device" in run.stdout


@pytest.mark.skipif(not triton_available(), reason="Triton is not installed")
def test_the_sweep_writes_a_table_that_the_kernels_read(tmp_path):
    file = tmp_path / "tuning.json"
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SWEEP, str(file)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    table = json.loads(file.read_text())
    assert table["one_pass"]["columns"] in (32, 64)
    read = "from urt_kernels import tuning; print(tuning.one_pass(1000, 2, trains_weight=True).columns)"
    run = subprocess.run(
        [sys.executable, "-c", read],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "URT_KERNELS_TUNING": str(file)},
    )
    assert int(run.stdout) == table["one_pass"]["columns"], run.stderr
