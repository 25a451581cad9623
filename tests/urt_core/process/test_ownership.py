"""An owner is alive as long as its process is, and leaves nothing behind."""

import os
import signal
import subprocess
import sys
import warnings

import pytest

from urt_core.process.ownership import Owner, is_alive, path_of

CHILD = """
import sys
from pathlib import Path
from urt_core.process.ownership import Owner
owner = Owner(Path(sys.argv[1]))
print(owner.name, flush=True)
sys.stdin.read()
"""


def test_an_owner_is_alive_until_it_lets_go(tmp_path):
    shared = tmp_path / "c.sqlite"
    owner = Owner(shared)
    assert is_alive(shared, owner.name)
    assert is_alive(shared, owner.name), "looking does not take it away"
    owner.release()
    assert not is_alive(shared, owner.name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_end_of_a_process_is_the_end_of_its_owner(tmp_path, how):
    shared = tmp_path / "c.sqlite"
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(shared)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert is_alive(shared, name)
    if how is not None:
        child.send_signal(how)
    child.communicate()
    assert not is_alive(shared, name)
    assert list(tmp_path.iterdir()) == []


def test_a_child_of_a_fork_does_not_end_its_parent(tmp_path):
    shared = tmp_path / "c.sqlite"
    owner = Owner(shared)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # later Pythons warn of threads, which the child does not use
        child = os.fork()
    if child == 0:
        owner.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert is_alive(shared, owner.name)
    owner.release()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "a/b", "\0", "x" * 5000])
def test_a_name_out_of_a_file_stays_in_the_folder(tmp_path, name):
    shared = tmp_path / "c.sqlite"
    assert path_of(shared, name).parent == tmp_path
    assert not is_alive(shared, name)
