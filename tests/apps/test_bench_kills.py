"""python apps/bench_kills.py in small: pairs judged in processes that are killed give the lines of an undisturbed run."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from urt_core.example import PAIRS

ROOT = Path(__file__).parents[2]


def killed(output: Path, *arguments: str) -> list[list[str]]:
    """The cells of the table's rows."""
    done = subprocess.run(
        [sys.executable, "apps/bench_kills.py", f"data={PAIRS}", f"output={output}", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def test_two_processes_that_are_killed_have_the_lines_of_one(tmp_path):
    [row] = killed(tmp_path / "kills", "engines=transformers", "processes=2", "kills=2")
    assert row == ["transformers", "2", "2", "12, the same bytes", "0", "0"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (make test installs it)")
def test_vllm_leaves_no_process_behind_and_asks_nothing_twice(tmp_path):
    [row] = killed(tmp_path / "kills", "engines=vllm", "processes=1", "kills=1")
    assert row == ["vllm", "1", "1", "12, the same bytes", "0", "0"]


def test_a_setting_that_is_none_is_named():
    done = subprocess.run(
        [sys.executable, "apps/bench_kills.py", "engine=vllm"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "there is no setting engine; allowed: data, model, engines" in done.stderr
