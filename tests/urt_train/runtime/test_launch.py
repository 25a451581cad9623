"""Threads are chosen before torch is loaded, within what this process may use, and never against the user's word."""

import os
import subprocess
import sys

import pytest

from urt_core.process.waiting import WAITING
from urt_train.runtime import launch
from urt_train.runtime.launch import cgroup_cores, num_threads, settle_threads


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu.max": "800000 100000", "a/cpu.max": "max 100000", "a/b/cpu.max": "300000 100000"}, 3.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"}, 2.5),
        ({"cpu.max": "what"}, None),
        ({}, None),
    ],
)
def test_limits_of_control_groups(tmp_path, files, cores):
    for name, content in files.items():
        (tmp_path / "fs" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "fs" / name).write_text(content + "\n")
    (tmp_path / "own").write_text("0::/a/b\n")
    assert cgroup_cores(tmp_path / "fs", tmp_path / "own") == cores


@pytest.mark.parametrize(
    ("affinity", "limit", "here", "threads"),
    [(8, None, "1", 8), (8, None, "4", 2), (8, 3.5, "1", 3), (2, 0.5, "1", 1), (8, None, "16", 1)],
)
def test_a_process_gets_its_share(monkeypatch, affinity, limit, here, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(affinity)), raising=False)
    monkeypatch.setattr(launch, "cgroup_cores", lambda: limit)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    assert num_threads() == threads


def test_the_word_of_the_user_stands():
    said = {"OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}
    settle_threads(said)
    assert said == {**WAITING, "OMP_NUM_THREADS": "3", "OMP_WAIT_POLICY": "ACTIVE"}


def test_every_program_settles_them_before_torch():
    program = (
        "import os, sys; from urt_train import cli; assert 'torch' not in sys.modules; sys.argv = ['x', '--fields', 'trainer'];"
        "cli.program()(lambda config: None)(); assert 'torch' not in sys.modules; print(os.environ['OMP_WAIT_POLICY'])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP", "GOMP", "KMP"))}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "PASSIVE"
