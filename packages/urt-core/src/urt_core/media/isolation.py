"""Video decoding in a process of its own: one that may be killed, has a limit of memory and of CPU, and may crash.

    parent ── policy, limits, bytes ──> child (python -m urt_core.media.isolation <descriptor>)
           <── sizes, RGB bytes ─────── or {"error": "..."}

A child is started with the first video, and kept: FFmpeg takes longer to load than to decode a clip. There are at most
as many as threads that decode at the same time, and no more than `MAX_CHILDREN`; the others wait. A child that was
killed or crashed is one MediaError, and the next video gets a new one.
"""

import atexit
import importlib.util
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import asdict
from multiprocessing.connection import Connection

from PIL import Image

from urt_core.errors import MediaError
from urt_core.media.limits import MediaLimits, check_bytes
from urt_core.media.sampling import MediaPolicy
from urt_core.media.video import decode_video, sniff_container

MAX_CHILDREN = max(1, min(4, os.cpu_count() or 1))
MEMORY_BYTES = 280 * 2**20
"""What decoding may take over what an idle child holds, beside two copies of the file."""
CPU_SECONDS = 4.0
CPU_SECONDS_PER_MB = 2.0
"""For each megabyte of the file beyond the first half."""
GRACE_SECONDS = 60.0
"""A child that sleeps instead of computing is given up after this and its seconds of CPU ten times over."""
_CRASHES = (OSError, EOFError, TimeoutError)


def decode_apart(
    data: bytes, *, policy: MediaPolicy, name: str, limits: MediaLimits, container_format: str | None = None
) -> list[Image.Image]:
    """`decode_video`, in a child."""
    check_bytes(data, name=name, limits=limits)
    container_format = container_format or sniff_container(data, name)
    if importlib.util.find_spec("av") is None:
        raise MediaError('video files need PyAV: pip install "urt-core[video]", or give the frames as a list of images')
    child = _pool.take()
    try:
        return child.decode(data, policy=policy, name=name, limits=limits, container_format=container_format)
    except MediaError:
        raise
    except BaseException:
        # Also where the caller is interrupted: an answer that nobody has read must not be the next caller's.
        child.kill()
        raise
    finally:
        _pool.give(child)


class _Child:
    """One process, which decodes one file at a time."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "urt_core.media.isolation", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self.pipe = Connection(ours.detach())

    def decode(
        self, data: bytes, *, policy: MediaPolicy, name: str, limits: MediaLimits, container_format: str
    ) -> list[Image.Image]:
        cpu_s = CPU_SECONDS + CPU_SECONDS_PER_MB * max(0.0, len(data) / 1e6 - 0.5)
        request = {
            "policy": asdict(policy),
            "limits": asdict(limits),
            "name": name,
            "cpu_s": cpu_s,
            "container_format": container_format,
        }
        try:
            self.pipe.send_bytes(json.dumps(request).encode())
            self.pipe.send_bytes(data)
            if not self.pipe.poll(GRACE_SECONDS + 10 * cpu_s):
                raise TimeoutError
            answer = json.loads(self.pipe.recv_bytes())
            if "error" in answer:
                raise MediaError(answer["error"])
            return [Image.frombytes("RGB", tuple(size), self.pipe.recv_bytes()) for size in answer["sizes"]]
        except _CRASHES as error:
            self.kill()
            out_of_time = self.process.returncode == -signal.SIGPROF
            reason = f"it took more than {cpu_s:.1f} s of CPU; cut it, or scale it down" if out_of_time else (
                f"its decoder ended with {self.process.returncode}"
            )  # fmt: skip
            raise MediaError(f"{name}: not a readable video ({reason})") from error

    def kill(self) -> None:
        self.pipe.close()
        try:
            # One that was killed by its own limits has ended already, and says so by its exit code.
            self.process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def alive(self) -> bool:
        return not self.pipe.closed and self.process.poll() is None


class _Pool:
    """Idle children. Another process than the one that started them (a fork) begins with none."""

    def __init__(self) -> None:
        self.idle: queue.LifoQueue[_Child] = queue.LifoQueue()
        self.places = threading.BoundedSemaphore(MAX_CHILDREN)

    def take(self) -> _Child:
        self.places.acquire()
        try:
            while True:
                try:
                    child = self.idle.get_nowait()
                except queue.Empty:
                    return _Child()
                if child.alive:
                    return child
        except BaseException:
            self.places.release()
            raise

    def give(self, child: _Child) -> None:
        if child.alive:
            self.idle.put(child)
        self.places.release()


_pool = _Pool()


def end_children() -> None:
    """Ends the idle children; a child also ends by itself when its parent is gone."""
    while not _pool.idle.empty():
        _pool.idle.get_nowait().kill()


def _forget() -> None:
    """In a fork: the children belong to the parent, and so do their pipes."""
    global _pool
    for child in tuple(_pool.idle.queue):
        child.pipe.close()
        child.process.returncode = 0
    _pool = _Pool()


atexit.register(end_children)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def serve(descriptor: int) -> None:
    """The child: files in, frames out, until the parent is gone."""
    from av import logging

    logging.set_level(None)
    pipe = Connection(descriptor)
    idle_bytes = _virtual_bytes()
    while True:
        try:
            request, data = json.loads(pipe.recv_bytes()), pipe.recv_bytes()
        except EOFError:
            return
        limit_memory(idle_bytes + MEMORY_BYTES + 2 * len(data))
        signal.setitimer(signal.ITIMER_PROF, request["cpu_s"])
        try:
            frames = decode_video(
                data,
                policy=MediaPolicy(**request["policy"]),
                name=request["name"],
                limits=MediaLimits(**request["limits"]),
                container_format=request["container_format"],
            )
            answer, pixels = {"sizes": [frame.size for frame in frames]}, [frame.tobytes() for frame in frames]
        except (MediaError, MemoryError) as error:
            answer, pixels = {"error": str(error) or f"{request['name']}: not a readable video (memory)"}, []
        signal.setitimer(signal.ITIMER_PROF, 0)
        pipe.send_bytes(json.dumps(answer).encode())
        for frame in pixels:
            pipe.send_bytes(frame)


def limit_memory(num_bytes: int) -> None:
    """No more address space than this, where the system keeps such limits: an allocation fails, which FFmpeg
    reports."""
    import resource

    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (num_bytes if hard < 0 else min(num_bytes, hard), hard))


def _virtual_bytes() -> int:
    if sys.platform != "linux":
        return 0
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
