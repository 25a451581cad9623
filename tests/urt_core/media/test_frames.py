"""Frames: which ones, how large, and the same for every form of input."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from urt_core.errors import ConfigError, MediaError
from urt_core.media import (
    MediaLimits,
    MediaPolicy,
    as_media,
    frame_indices,
    load_frames,
    media_digest,
    preprocessing_id,
)
from urt_core.media.sampling import fit_pixels
from urt_core.records import Media, MediaKind

ANY_SIZE = MediaPolicy(min_pixels=1, max_pixels=10**9)


def png(colour, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@given(st.integers(1, 300), st.integers(1, 64))
def test_frame_indices_are_uniform(available, wanted):
    indices = frame_indices(available, wanted)
    assert indices == sorted(set(indices))
    assert len(indices) == min(available, wanted)
    assert all(0 <= index < available for index in indices)
    if len(indices) > 1:
        assert (indices[0], indices[-1]) == (0, available - 1)
        gaps = np.diff(indices)
        assert gaps.max() - gaps.min() <= 1


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 10**5), st.integers(0, 10**6))
def test_scaled_images_have_the_promised_number_of_pixels(width, height, least, more):
    policy = MediaPolicy(min_pixels=least, max_pixels=least + more)
    # fit_pixels asks for a size; resizing for real would only make this slow
    sizes = []

    class Sized:
        size = (width, height)

        def resize(self, size, method):
            sizes.append(size)

    image: Any = Sized()
    fit_pixels(image, policy)
    if least <= width * height <= least + more:
        assert not sizes
        return
    [(new_width, new_height)] = sizes
    if width * height > policy.max_pixels:
        assert new_width * new_height <= policy.max_pixels or 1 in (new_width, new_height)
    else:
        assert new_width * new_height >= policy.min_pixels
    if min(new_width, new_height) > 50 and min(width, height) > 50:
        assert new_width / new_height == pytest.approx(width / height, rel=0.05)


def test_policy_is_checked_and_named():
    with pytest.raises(ConfigError, match="1 <= min_pixels <= max_pixels"):
        MediaPolicy(min_pixels=10, max_pixels=9)
    with pytest.raises(ConfigError, match="num_frames is 0"):
        MediaPolicy(num_frames=0)
    assert preprocessing_id(MediaPolicy()) == "rgb-white-bicubic-3136-262144-uniform8"


def array(dtype: Any = np.uint8) -> np.ndarray:
    values = np.arange(5 * 6 * 3, dtype=np.uint8).reshape(5, 6, 3)
    return values if dtype is np.uint8 else (values / 255).astype(dtype)


@pytest.mark.parametrize(
    "value",
    [
        array(),
        array().transpose(2, 0, 1),
        array(np.float32),
        array(np.float64),
        array(np.float16),
        torch.from_numpy(array()),
        torch.from_numpy(array(np.float32)).permute(2, 0, 1).requires_grad_(),
        torch.from_numpy(array(np.float32)).permute(2, 0, 1).to(torch.float64),
        Image.fromarray(array()),
    ],
)
def test_arrays_tensors_and_pictures_become_the_same_pixels(value):
    [frame] = load_frames(as_media(value, kind=MediaKind.IMAGE), ANY_SIZE)
    np.testing.assert_array_equal(np.asarray(frame), array())


def test_greyscale_and_alpha_arrays():
    [frame] = load_frames(as_media(np.full((5, 4), 77, np.uint8), kind=MediaKind.IMAGE), ANY_SIZE)
    assert (frame.size, frame.getpixel((0, 0))) == ((4, 5), (77, 77, 77))
    [frame] = load_frames(as_media(np.zeros((5, 4, 4), np.uint8), kind=MediaKind.IMAGE), ANY_SIZE)
    assert frame.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.full((6, 6, 3), 2.0), r"within 0\.\.1"),
        (np.full((6, 6, 3), -1.0), r"within 0\.\.1"),
        (np.full((6, 6, 3), np.nan), r"within 0\.\.1"),
        (np.zeros((6, 6, 3), np.int64), "uint8"),
        (np.zeros((7, 6, 5), np.uint8), "HW, HWC or CHW"),
        (np.zeros((2, 4, 4, 3), np.uint8), "HW, HWC or CHW"),
        (np.zeros((3, 8, 3), np.uint8), "as HWC and as CHW"),
        (np.zeros((0, 8, 3), np.uint8), "at least 1"),
        ("data:image/png;base64,###", "not base64"),
        ("data:image/png,abc", "base64"),
        ("http://example.com/a.png", "off by default"),
        ("HTTPS://example.com/a.png", "off by default"),
        ("a\0b.png", "no path"),
        (17, "accepted: Media, PIL.Image"),
        (None, "accepted"),
        (Media(kind=MediaKind.VIDEO, files=("a.mp4",)), "kind video"),
    ],
)
def test_what_is_no_image_is_refused(value, message):
    with pytest.raises(MediaError, match=message):
        as_media(value, kind=MediaKind.IMAGE)


def test_bytes_paths_and_data_uris(tmp_path):
    import base64

    (tmp_path / "a.png").write_bytes(png("red"))
    forms = [
        png("red"),
        bytearray(png("red")),
        memoryview(png("red")),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        f"data:image/png;base64,{base64.b64encode(png('red')).decode()}",
        Media(kind=MediaKind.IMAGE, files=("x",), data=(png("red"),)),
    ]
    media = [as_media(form, kind=MediaKind.IMAGE) for form in forms]
    assert {load_frames(m, ANY_SIZE)[0].getpixel((0, 0)) for m in media} == {(255, 0, 0)}
    assert len({media_digest(m) for m in media}) == 1
    with pytest.raises(MediaError, match="cannot be read"):
        load_frames(as_media(tmp_path / "missing.png", kind=MediaKind.IMAGE), ANY_SIZE)
    with pytest.raises(MediaError, match="max_file_bytes"):
        load_frames(as_media(tmp_path / "a.png", kind=MediaKind.IMAGE), ANY_SIZE, limits=MediaLimits(max_file_bytes=5))


def test_a_server_reads_no_files(tmp_path):
    for value in ("/etc/passwd", tmp_path, "file:///etc/passwd", Media(kind=MediaKind.IMAGE, files=("/etc/passwd",))):
        with pytest.raises(MediaError):
            as_media(value, kind=MediaKind.IMAGE, allow_paths=False)
    with pytest.raises(MediaError):
        as_media(["/etc/passwd"], kind=MediaKind.VIDEO, allow_paths=False)


def test_frame_lists_are_videos():
    colours = [(index * 10, 0, 0) for index in range(20)]
    media = as_media([png(colour) for colour in colours], kind=MediaKind.VIDEO, name="first")
    assert media.files[:2] == ("first.f00.png"[:-4] + ".bin", "first.f01.bin")
    frames = load_frames(media, MediaPolicy(min_pixels=1, num_frames=3))
    assert [frame.getpixel((0, 0)) for frame in frames] == [(0, 0, 0), (100, 0, 0), (190, 0, 0)]
    tensor = torch.zeros(5, 3, 8, 8)
    assert len(load_frames(as_media(tensor, kind=MediaKind.VIDEO), ANY_SIZE)) == 5
    with pytest.raises(MediaError, match="non-empty list"):
        as_media([], kind=MediaKind.VIDEO)
    with pytest.raises(MediaError, match="max_frames"):
        as_media([png("red")] * 5, kind=MediaKind.VIDEO, limits=MediaLimits(max_frames=4))


def test_only_the_chosen_frames_are_decoded():
    files = tuple(f"f{index}.png" for index in range(9))
    data = tuple(png("red") if index in (0, 4, 8) else b"broken" for index in range(9))
    frames = load_frames(Media(kind=MediaKind.VIDEO, files=files, data=data), MediaPolicy(min_pixels=1, num_frames=3))
    assert len(frames) == 3
