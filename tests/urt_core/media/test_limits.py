"""The wall: whatever bytes come in, a picture, frames or a MediaError go out, within memory and time."""

import time
from pathlib import Path

import pytest
from PIL import Image

from tests.urt_core.media.generated import MAKERS, encode, has_codec, outcome, pictures, videos
from urt_core.errors import MediaError
from urt_core.media import MediaLimits, MediaPolicy, as_media, load_frames
from urt_core.media.limits import decoder_wall
from urt_core.records import MediaKind

NUM_PICTURES = 10_000


NUM_VIDEOS = 900


def test_generated_pictures_end_in_a_picture_or_a_media_error() -> None:
    """Both ends occur for every maker, or the generator tests nothing."""
    found: dict[int, set[str]] = {number: set() for number in range(len(MAKERS))}
    slowest = 0.0
    for number, data in enumerate(pictures(NUM_PICTURES, seed=7)):
        started = time.thread_time()
        found[number % len(MAKERS)].add(outcome(data))
        slowest = max(slowest, time.thread_time() - started)
    assert set(map(frozenset, found.values())) == {frozenset({"RGB", "MediaError"})}
    assert slowest < 5.0


def test_generated_videos_end_in_frames_or_a_media_error() -> None:
    pytest.importorskip("av", reason="PyAV is not installed; it is the extra urt-core[video]")
    if not has_codec("mpeg4"):
        pytest.skip("this PyAV encodes no mpeg4")
    policy, ends = MediaPolicy(min_pixels=1), {"frames": 0, "MediaError": 0}
    for data in videos(NUM_VIDEOS, seed=3):
        try:
            frames = load_frames(as_media(data, kind=MediaKind.VIDEO), policy)
            assert all(frame.mode == "RGB" for frame in frames)
            ends["frames"] += 1
        except MediaError:
            ends["MediaError"] += 1
    assert min(ends.values()) > 100


@pytest.mark.parametrize(
    "error", [AssertionError(), SystemError("x"), RecursionError(), Warning("w"), KeyError(1), MemoryError()]
)
def test_the_wall_knows_no_list(error: Exception) -> None:
    with pytest.raises(MediaError, match="not a readable image") as caught, decoder_wall("a.png", kind="image"):
        raise error
    assert caught.value.__cause__ is error


def test_the_wall_lets_an_interrupt_through() -> None:
    with pytest.raises(KeyboardInterrupt), decoder_wall("a.png", kind="image"):
        raise KeyboardInterrupt


def test_a_picture_that_was_only_opened_is_decoded_behind_the_wall(tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(encode(Image.effect_noise((64, 64), 90), "PNG")[:900])
    with Image.open(tmp_path / "cut.png") as image, pytest.raises(MediaError, match="not a readable image"):
        as_media(image, kind=MediaKind.IMAGE)


def test_a_fifo_and_a_device_are_no_files(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), tmp_path):
        with pytest.raises(MediaError, match="cannot be read"):
            load_frames(as_media(path, kind=MediaKind.IMAGE), MediaPolicy())
    with pytest.raises(MediaError, match="cannot be read"):
        load_frames(as_media("\ud800.png", kind=MediaKind.IMAGE), MediaPolicy())


def test_limits_hold_for_arrays_too() -> None:
    import numpy as np

    with pytest.raises(MediaError, match=r"MediaLimits\.max_image_pixels"):
        as_media(np.zeros((100, 100), np.uint8), kind=MediaKind.IMAGE, limits=MediaLimits(max_image_pixels=99))
