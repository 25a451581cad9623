"""A process that ends with its parent, killed or not, whoever started it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BY_ID = """
import os, subprocess, sys, time
child = "import sys, time; from urt_core.process.lifetime import end_with_parent; end_with_parent(int(sys.argv[1])); print('bound', flush=True); time.sleep(60)"
process = subprocess.Popen([sys.executable, "-c", child, str(os.getpid())], stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
time.sleep(60)
"""
BY_MULTIPROCESSING = """
import multiprocessing, time
from urt_core.process.lifetime import end_with_parent

def work(ready):
    end_with_parent()
    ready.set()
    time.sleep(60)

context = multiprocessing.get_context("fork")
ready = context.Event()
process = context.Process(target=work, args=(ready,))
process.start()
ready.wait()
print(process.pid, flush=True)
time.sleep(60)
"""

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl(2) is Linux's")


def is_running(pid: int) -> bool:
    """Ended processes that nobody has waited for are zombies, and no more running."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("script", [BY_ID, BY_MULTIPROCESSING], ids=["by id", "by multiprocessing"])
def test_a_killed_parent_takes_it_along(script: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert is_running(pid)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline, "it outlives its parent"
        time.sleep(0.01)


def test_one_whose_parent_is_gone_already_ends_at_once() -> None:
    script = "from urt_core.process.lifetime import end_with_parent; end_with_parent(1 << 22); print('still here')"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, env=os.environ, check=False)
    assert (ended.returncode, ended.stdout) == (-signal.SIGKILL, b"")
