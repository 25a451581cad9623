"""Full disk, hung process, NaN, SIGTERM: one line that says what to do, an exit code, the last checkpoint good, and the
run goes on."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from urt_data import ShardWriter


@pytest.fixture(scope="module")
def met(tmp_path_factory, tiny_folder, records) -> Iterator[Callable[[str], str]]:
    """What the program says of a fault; it imports everything once for all of them."""
    folder = tmp_path_factory.mktemp("faults")
    with ShardWriter(folder / "shards") as shards:
        for record in records:
            shards.write(record)
    program, log = Path(__file__).with_name("fault_runs.py"), folder / "log"
    command = [sys.executable, "-W", "ignore", program, tiny_folder, folder / "shards", folder / "out"]
    path = os.pathsep.join([str(program.parents[2]), *sys.path])
    with (
        log.open("w") as said,
        subprocess.Popen(
            list(map(str, command)),
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
        ) as running,
    ):
        asks, answers = running.stdin, running.stdout
        assert asks
        assert answers

        def meet(fault: str) -> str:
            asks.write(f"{fault}\n")
            asks.flush()
            said = next((line for line in answers if line.startswith(f"{fault}: ")), "")  # runs speak, too
            return said + log.read_text()[-3000:]

        yield meet


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
def test_a_fault_ends_clearly_and_the_run_goes_on(met, fault):
    assert met(fault).startswith(f"{fault}: as it should be\n")
