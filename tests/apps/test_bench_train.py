"""python apps/bench_train.py: a small setting, in which all layouts (and TRL, where it is installed) must agree on the log-probs."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "apps" / "bench_train.py"
SMALL = ("pixels=32", "group_size=2", "text=12", "completion=6", "repeats=1")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", BENCH, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(output: str) -> list[dict[str, str]]:
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.splitlines() if line[:1] == "|"]
    return [dict(zip(table[0], line, strict=True)) for line in table[2:]]


def test_layouts_agree_and_are_timed():
    run = bench(*SMALL, "trl=false")
    assert run.returncode == 0, run.stderr
    [row] = rows(run.stdout)
    assert (row["pixels"], row["G"], row["than TRL"], row["MFU"]) == ("32", "2", "not measured", "not measured")
    assert float(row["padded s"]) > 0
    assert float(row["error"]) < 1e-5


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="needs trl (make test installs it)")
def test_trl_agrees_too():
    run = bench(*SMALL)
    assert run.returncode == 0, run.stderr
    [row] = rows(run.stdout)
    assert float(row["trl s"]) > 0
    assert float(row["error"]) < 1e-5


def test_a_wrong_setting_is_named():
    run = bench("pixel=32")
    assert run.returncode == 1
    assert "there is no setting pixel; allowed: device, model, pixels" in run.stderr
