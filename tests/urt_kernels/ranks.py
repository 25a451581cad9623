"""Ranks of a gloo group as processes, and what each of them found."""

import os
import socket
import subprocess
import sys
from pathlib import Path


def differences(script: Path, ranks: int, *arguments: str) -> list[dict[str, float]]:
    """The worst differences by name that each rank of ``script RANK RANKS PORT *arguments`` prints as lines
    "difference NAME VALUE"."""
    command = [sys.executable, "-W", "ignore", str(script)]
    processes = [
        subprocess.Popen(
            [*command, str(rank), str(ranks), port, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            text=True,
        )
        for port in [str(free_port())]
        for rank in range(ranks)
    ]
    found = []
    for process in processes:
        out, err = process.communicate(timeout=240)
        assert process.returncode == 0, err[-3000:]
        lines = [line.split() for line in out.splitlines() if line.startswith("difference ")]
        found.append({name: float(value) for _, name, value in lines})
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
