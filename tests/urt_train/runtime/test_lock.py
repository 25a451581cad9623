"""One owner of a folder; what a dead one left is taken over, on this host and on another."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from urt_core.errors import DataError
from urt_train.runtime import lock
from urt_train.runtime.lock import LOCK, OwnedError, owned

HOLDER = """
import sys, time
from pathlib import Path
from urt_train.runtime.lock import owned
with owned(Path(sys.argv[1])):
    print("has it", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def take(folder):
    said: list[str] = []
    with owned(folder, say=said.append):
        pass
    return said


def test_a_second_process_is_refused_and_told_whose_it_is(tmp_path, holder):
    deadline = time.monotonic() + 5
    while not (tmp_path / LOCK).read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(OwnedError, match=rf"in use by process {holder.pid} on {socket.gethostname()}; .*output_root"):
        take(tmp_path)


def test_what_a_killed_process_left_is_taken_over(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    [line] = take(tmp_path)
    assert f"left behind by process {holder.pid}" in line
    assert take(tmp_path) == [], "and leaves nothing behind"


def test_without_locks_of_the_kernel_the_process_decides(tmp_path, holder, monkeypatch):
    def unsupported(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", unsupported)
    while not (tmp_path / LOCK).read_bytes():
        time.sleep(0.01)
    with pytest.raises(OwnedError, match=f"process {holder.pid}"):
        take(tmp_path)
    content = json.loads((tmp_path / LOCK).read_text())
    holder.kill()
    holder.wait()
    [line] = take(tmp_path)
    assert "left behind" in line
    # Another process got its number since.
    (tmp_path / LOCK).write_text(json.dumps(content | {"pid": os.getppid(), "started": "1"}))
    [line] = take(tmp_path)
    assert "left behind" in line


def test_another_host_is_watched(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "SECONDS_WATCHED", 0.6)
    content = {"host": "node-7", "pid": 1234, "started": "1", "beat": 0}
    (tmp_path / LOCK).write_text(json.dumps(content))
    said = take(tmp_path)
    assert "is of node-7; watching" in said[0]
    assert "left behind by process 1234 on node-7" in said[1]

    (tmp_path / LOCK).write_text(json.dumps(content).ljust(200))
    stop = threading.Event()

    def beat() -> None:
        for number in range(1, 1000):
            with (tmp_path / LOCK).open("r+") as file:
                file.write(json.dumps(content | {"beat": number}).ljust(200))
            if stop.wait(0.05):
                return

    other = threading.Thread(target=beat)
    other.start()
    try:
        with pytest.raises(OwnedError, match="in use by process 1234 on node-7"):
            take(tmp_path)
    finally:
        stop.set()
        other.join()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xff", b"null"])
def test_a_lock_that_says_nothing_is_nobody(tmp_path, content):
    (tmp_path / LOCK).write_bytes(content)
    assert take(tmp_path) == []


def test_the_owner_gives_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "SECONDS_BETWEEN_BEATS", 0.02)
    with owned(tmp_path):
        deadline = time.monotonic() + 5
        beats: set[int] = set()
        while len(beats) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
            # By another process: were it closed in this one, the lock would open.
            content = subprocess.run(["cat", tmp_path / LOCK], capture_output=True, check=True).stdout
            beats.add(json.loads(content)["beat"])
    assert len(beats) == 3


def test_a_folder_that_cant_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"can't be written .*output_root"):
        take(tmp_path / "file" / "run")
