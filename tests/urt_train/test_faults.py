"""Full disk, hung process, NaN, SIGTERM: one line that says what to do, an exit code, the last checkpoint good, and the
run goes on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from urt_data import ShardWriter


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "fault",
    [
        "full_disk",
        "full_anywhere",
        "hung_rank",
        "nan_and_sigterm",
        "two_runs",
        "ranks_apart",
        "resized",
        "stopped_anywhere",
    ],
)
def test_a_fault_ends_clearly_and_the_run_goes_on(tmp_path, tiny_folder, records, fault):
    with ShardWriter(tmp_path / "shards") as shards:
        for record in records:
            shards.write(record)
    program = Path(__file__).with_name("fault_runs.py")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(program), fault, tiny_folder, tmp_path / "shards", tmp_path / "out"],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(program.parents[2]), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
    assert run.stdout.endswith("as it should be\n")
