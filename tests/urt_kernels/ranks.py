"""Ranks of a gloo group as processes, and what each of them found."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory


def differences(script: Path, ranks: int, *arguments: str) -> list[dict[str, float]]:
    """The worst differences by name that each rank of ``script RANK RANKS PLACE *arguments`` prints as lines
    "difference NAME VALUE". The ranks meet at PLACE, an `init_method`: in a file, because a port that was free a moment
    ago may be somebody else's by then."""
    command = [sys.executable, "-W", "ignore", str(script)]
    found = []
    with TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen(
                [*command, str(rank), str(ranks), f"file://{folder}/ranks", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                text=True,
            )
            for rank in range(ranks)
        ]
        for process in processes:
            out, err = process.communicate(timeout=240)
            assert process.returncode == 0, err[-3000:]
            lines = [line.split() for line in out.splitlines() if line.startswith("difference ")]
            found.append({name: float(value) for _, name, value in lines})
    return found
