"""Killed with SIGKILL at random moments, inside of saves too, and resumed: the losses and weights of the straight run, bit for bit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from urt_data import ShardWriter


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_and_resumed_is_straight(tmp_path, tiny_folder, records):
    """URT_KILLS=100 for the long form."""
    with ShardWriter(tmp_path / "shards") as shards:
        for record in records:
            shards.write(record)
    kills = os.environ.get("URT_KILLS", "6")
    program = Path(__file__).with_name("kill_runs.py")
    run = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            str(program),
            tiny_folder,
            tmp_path / "shards",
            tmp_path / "out",
            "--runs",
            kills,
        ],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(program.parents[2]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    print(run.stdout)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert f"{kills} of {kills} resumed runs equal" in run.stdout
