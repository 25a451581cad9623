"""Video decoding in a child: it may crash, hang or eat, and the next video is decoded all the same."""

import os
import signal
import threading
import time

import pytest

from tests.urt_core.media.generated import has_codec, video
from urt_core.errors import MediaError
from urt_core.media import MediaLimits, MediaPolicy, isolation

pytest.importorskip("av", reason="PyAV is not installed; it is the extra urt-core[video]")
POLICY = MediaPolicy(min_pixels=1, num_frames=4)


def decode(data: bytes) -> list[int]:
    """Grey level of each frame."""
    frames = isolation.decode_apart(data, policy=POLICY, name="clip.mp4", limits=MediaLimits())
    return [frame.getpixel((32, 24))[0] for frame in frames]  # type: ignore[index]


@pytest.fixture
def child() -> isolation._Child:
    """The one child that decodes in this test, warmed up."""
    isolation.end_children()
    decode(video())
    return isolation._pool.idle.queue[0]


def test_a_child_is_kept(child: isolation._Child) -> None:
    pids = set()
    for _ in range(3):
        assert decode(video()) == pytest.approx([0, 60, 130, 190], abs=4)
        pids.add(isolation._pool.idle.queue[0].process.pid)
    assert pids == {child.process.pid}


def test_a_file_that_is_no_video_costs_no_child(child: isolation._Child) -> None:
    with pytest.raises(MediaError, match="not a readable video"):
        decode(video()[:600])
    assert isolation._pool.idle.queue == [child]
    assert child.alive


def test_a_crash_is_one_media_error(child: isolation._Child) -> None:
    """Stopped with a request in its pipe, then killed as a crash would."""
    os.kill(child.process.pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, os.kill, (child.process.pid, signal.SIGSEGV))
    waker = threading.Timer(0.4, os.kill, (child.process.pid, signal.SIGCONT))
    killer.start()
    waker.start()
    with pytest.raises(MediaError, match="its decoder ended with -11"):
        decode(video())
    killer.join()
    waker.join()
    assert decode(video()) == pytest.approx([0, 60, 130, 190], abs=4)


def test_a_child_that_died_between_two_videos_is_replaced(child: isolation._Child) -> None:
    child.process.kill()
    child.process.wait()
    assert decode(video()) == pytest.approx([0, 60, 130, 190], abs=4)


def test_cpu_is_bounded(child: isolation._Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "CPU_SECONDS", 0.02)
    monkeypatch.setattr(isolation, "CPU_SECONDS_PER_MB", 0.0)
    if not has_codec("libx264"):
        pytest.skip("this PyAV encodes no H.264")
    data = video("mp4", "libx264", num_frames=300, size=(1280, 720), options={"preset": "ultrafast"})
    with pytest.raises(MediaError, match=r"more than 0\.0 s of CPU"):
        decode(data)
    monkeypatch.undo()
    assert decode(video()) == pytest.approx([0, 60, 130, 190], abs=4)


def test_memory_is_bounded(child: isolation._Child, monkeypatch: pytest.MonkeyPatch) -> None:
    """Native size of every frame: more than the child may take."""
    data = video("mp4", "mpeg4", num_frames=8, size=(4096, 4096))
    native = MediaPolicy(min_pixels=1, max_pixels=2**30, num_frames=8)
    with pytest.raises(MediaError, match="more memory than it may take"):
        isolation.decode_apart(data, policy=native, name="a", limits=MediaLimits())
    assert len(decode(data)) == 4


def test_a_hang_is_given_up(child: isolation._Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(isolation, "CPU_SECONDS", 0.01)
    os.kill(child.process.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(MediaError, match="its decoder ended with -9"):
        decode(video())
    assert time.monotonic() - started < 5


def test_many_threads_share_a_few_children() -> None:
    levels: list[list[int]] = []
    threads = [threading.Thread(target=lambda: levels.append(decode(video()))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert levels == [pytest.approx([0, 60, 130, 190], abs=4)] * 12
    assert isolation._pool.idle.qsize() <= isolation.MAX_CHILDREN


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_has_children_of_its_own(child: isolation._Child) -> None:
    pid = os.fork()
    if pid == 0:
        fresh = isolation._pool.idle.empty()
        good = decode(video()) == pytest.approx([0, 60, 130, 190], abs=4)
        os._exit(0 if fresh and good else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert decode(video()) == pytest.approx([0, 60, 130, 190], abs=4)
