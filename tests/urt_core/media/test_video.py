"""Video files through PyAV."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from urt_core.errors import MediaError
from urt_core.media import MediaLimits, MediaPolicy, as_media, load_frames
from urt_core.records import MediaKind

av = pytest.importorskip("av", reason="PyAV is not installed; it is the extra urt-core[video]")
POLICY = MediaPolicy(min_pixels=1, num_frames=4)


def video(container_format="mp4", codec="mpeg4", num_frames=20, size=(64, 48)):
    """Frame i is grey of level 10 * i."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for index in range(num_frames):
            pixels = np.full((size[1], size[0], 3), 10 * index, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize(("container_format", "codec"), [("mp4", "mpeg4"), ("matroska", "mpeg4"), ("avi", "mpeg4")])
def test_uniform_frames_of_a_file(container_format, codec):
    media = as_media(video(container_format, codec), kind=MediaKind.VIDEO)
    frames = load_frames(media, POLICY)
    assert [frame.size for frame in frames] == [(64, 48)] * 4
    levels = [np.asarray(frame)[24, 32, 0] for frame in frames]
    # 20 frames, 4 wanted: 0, 6, 13, 19
    assert levels == pytest.approx([0, 60, 130, 190], abs=4)


def test_a_file_by_path_and_an_animated_gif(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(video())
    assert len(load_frames(as_media(tmp_path / "clip.mp4", kind=MediaKind.VIDEO), POLICY)) == 4
    buffer = io.BytesIO()
    images = [Image.new("RGB", (16, 16), (index * 30, 0, 0)) for index in range(8)]
    images[0].save(buffer, "GIF", save_all=True, append_images=images[1:])
    frames = load_frames(as_media(buffer.getvalue(), kind=MediaKind.VIDEO), POLICY)
    assert [frame.tobytes()[0] for frame in frames] == pytest.approx([0, 60, 150, 210], abs=8)


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/secret\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"",
        b"RIFF0000WAVEfmt ",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_playlists_and_other_files_never_reach_the_decoder(data):
    with pytest.raises(MediaError, match="allowed container"):
        as_media(data, kind=MediaKind.VIDEO)


def test_caps():
    media = as_media(video(), kind=MediaKind.VIDEO)
    for limits in (MediaLimits(max_frames=10), MediaLimits(max_image_pixels=100), MediaLimits(max_file_bytes=100)):
        with pytest.raises(MediaError, match="MediaLimits"):
            load_frames(media, POLICY, limits=limits)


def test_damaged_files_decode_or_are_media_errors():
    generator = random.Random(0)
    data = video(num_frames=8)
    for index in range(60):
        mutated = bytearray(data[: generator.randrange(12, len(data))] if index % 2 else data)
        for _ in range(generator.randint(1, 30)):
            mutated[generator.randrange(12, len(mutated))] ^= 1 << generator.randrange(8)
        try:
            frames = load_frames(as_media(bytes(mutated), kind=MediaKind.VIDEO), POLICY)
        except MediaError:
            continue
        assert 1 <= len(frames) <= 4
