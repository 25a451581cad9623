"""python apps/dry_run.py prints what a recipe needs; `tests/urt_train/experiment/dry_run` has the figures, of every
recipe."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_program_prints_the_tiny_recipe() -> None:
    command = [sys.executable, "-W", "ignore", "apps/dry_run.py", "dry_run.device_memory_gib=24"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    assert "tiny on 1 device of 24 GiB" in run.stdout
    assert "grpo fits" in run.stdout
