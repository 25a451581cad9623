"""Killed with -9 at random points: training goes on with the loss curve of the straight run, a conversion gives the
same bytes."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from urt_data import ShardFolder

REPOSITORY = Path(__file__).parents[2]

TRAIN = """
import json, os, sys
from pathlib import Path
from urt_data import PreferenceStream, ShardFolder

folder, run, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
stream = PreferenceStream(ShardFolder(folder), batch_size=3, seed=5, shuffle_window=14)
weight, losses = 0.0, []
if run.exists():
    saved = json.loads(run.read_text())
    weight, losses = saved["weight"], saved["losses"]
    stream.load_state_dict(saved["stream"])
while len(losses) < steps:
    for batch in stream:
        target = sum(record.metadata["number"] + len(record.first.data[0]) / 100 for record in batch) / len(batch)
        losses.append((weight - target) ** 2)
        weight -= 0.1 * (weight - target)
        temporary = run.with_suffix(".tmp")
        temporary.write_text(json.dumps({"weight": weight, "losses": losses, "stream": stream.state_dict()}))
        os.replace(temporary, run)
        if len(losses) == steps:
            break
"""

CONVERT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from tests.urt_data.conftest import image_record
from urt_data import ShardWriter

with ShardWriter(sys.argv[2], samples_per_shard=4) as shards:
    for number in range(40):
        shards.write(image_record(number))
        time.sleep(0.005)
"""


def run(script: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def kill_when(process: subprocess.Popen, reached) -> None:
    """kill -9 as soon as `reached()`; a process that ends before is fine."""
    while process.poll() is None and not reached():
        time.sleep(0.002)
    process.kill()
    process.wait()


@pytest.mark.slow
def test_training_continues_with_the_same_loss_curve(folder_of, tmp_path):
    folder, steps, rng = folder_of(40).folder, 60, random.Random(0)
    assert run(TRAIN, folder, tmp_path / "straight.json", steps).wait() == 0
    straight = json.loads((tmp_path / "straight.json").read_text())
    killed = tmp_path / "killed.json"

    def done() -> int:
        return len(json.loads(killed.read_text())["losses"]) if killed.exists() else 0

    for cut in sorted(rng.sample(range(1, steps), 4)):
        kill_when(run(TRAIN, folder, killed, steps), lambda cut=cut: done() >= cut)
    assert done() > 0
    assert run(TRAIN, folder, killed, steps).wait() == 0
    assert json.loads(killed.read_text()) == straight


@pytest.mark.slow
def test_a_killed_conversion_gives_the_same_bytes_when_it_is_run_again(tmp_path):
    def files(name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    assert run(CONVERT, REPOSITORY, tmp_path / "straight").wait() == 0
    for cut in (1, 4, 8):
        last = tmp_path / "killed" / f"shard-{cut:06d}.tar"
        kill_when(run(CONVERT, REPOSITORY, tmp_path / "killed"), last.exists)
        assert not (tmp_path / "killed" / "manifest.json").exists()
    assert run(CONVERT, REPOSITORY, tmp_path / "killed").wait() == 0
    assert files("killed") == files("straight")
    assert len(ShardFolder(tmp_path / "killed")) == 40
