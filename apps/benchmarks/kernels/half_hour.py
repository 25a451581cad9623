"""The first half hour on a GPU, in order: most certain knowledge first. A step that fails leaves its log and the next one runs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

PROGRAM = "apps/bench_kernels.py"


def steps(folder: Path) -> list[tuple[str, list[str], int]]:
    """(name, command, minutes it may take) of each step."""
    python = sys.executable
    bench = [python, PROGRAM]
    return [
        ("tests", [python, "-m", "pytest", "-q", "-m", "gpu", "tests/urt_kernels"], 4),
        ("gates", [*bench, "--check-only"], 3),
        ("quick", [*bench, "--quick", "--csv", str(folder / "quick.csv"), "--markdown", str(folder / "quick.md")], 6),
        ("profile", [*bench, "--profile"], 2),
        ("sweep", [*bench, "--sweep", str(folder / "tuning.json")], 8),
        ("peers", [*bench, "--quick", "--only", "token_logprobs", "--csv", str(folder / "peers.csv")], 5),
    ]


def run(folder: Path) -> int:
    """Run all; the exit status is the number of steps that failed."""
    folder.mkdir(parents=True, exist_ok=True)
    failed = 0
    for name, command, minutes in steps(folder):
        start, log = time.monotonic(), folder / f"{name}.log"
        with log.open("w", encoding="utf-8") as out:
            try:
                code = subprocess.run(
                    command, stdout=out, stderr=subprocess.STDOUT, timeout=60 * minutes, check=False
                ).returncode
            except subprocess.TimeoutExpired:
                code = 124
        failed += code != 0
        print(
            f"{name:8} {time.monotonic() - start:6.0f} s  {'ok' if code == 0 else f'failed ({code})'}  {log}",
            flush=True,
        )
    return failed
