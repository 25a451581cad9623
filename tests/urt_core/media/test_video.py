"""Video files through PyAV."""

import io
import random
import struct

import numpy as np
import pytest
from PIL import Image

from tests.urt_core.media.generated import has_codec, video
from urt_core.errors import MediaError
from urt_core.media import MediaLimits, MediaPolicy, as_media, load_frames
from urt_core.records import MediaKind

av = pytest.importorskip("av", reason="PyAV is not installed; it is the extra urt-core[video]")
POLICY = MediaPolicy(min_pixels=1, num_frames=4)


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


def levels(data, policy=POLICY, limits=None):
    """Mean grey of each frame."""
    return [
        np.asarray(frame).mean() for frame in load_frames(as_media(data, kind=MediaKind.VIDEO), policy, limits=limits)
    ]


@pytest.mark.parametrize(
    ("container_format", "codec", "options"),
    [
        ("mp4", "libx264", {"g": "12", "bf": "2"}),
        ("mp4", "libx265", {"x265-params": "keyint=12:log-level=none"}),
        ("matroska", "libx264", {"g": "12", "bf": "2"}),
        ("webm", "libvpx-vp9", {"g": "12", "deadline": "realtime", "cpu-used": "8"}),
        ("avi", "mpeg4", {"g": "12"}),
        ("mov", "mjpeg", {}),
    ],
)
def test_a_long_video_is_read_by_seeking_and_gives_the_same_frames(container_format, codec, options):
    """120 frames in a row cost too much here; from the key frames the same ones come out."""
    if not has_codec(codec):
        pytest.skip(f"this PyAV has no encoder {codec}")
    data = video(container_format, codec, num_frames=120, step=2, options=options)
    # What a frame costs: its pixels, and the handling; each byte allows 1,024 more.
    tight = MediaLimits(max_decoded_pixels=80 * (64 * 48 + 2**14) - 1024 * len(data))
    whole = levels(data)
    assert levels(data, limits=tight) == whole
    assert whole == pytest.approx([0, 80, 158, 238], abs=6)


def test_a_long_video_without_key_frames_is_refused_before_it_is_decoded():
    data = video("mp4", "mpeg4", num_frames=120, step=2, options={"g": "600"})
    tight = MediaLimits(max_decoded_pixels=80 * (64 * 48 + 2**14) - 1024 * len(data))
    with pytest.raises(MediaError, match=r"120 frames of 3,072 pixels.*MediaLimits\.max_decoded_pixels"):
        levels(data, limits=tight)


def test_more_than_four_thousand_frames_are_no_reason_to_refuse():
    data = video("mp4", "mpeg4", num_frames=4200, size=(16, 16), step=0)
    assert len(levels(data)) == 4


@pytest.mark.parametrize(("degrees", "size"), [(0, (64, 48)), (90, (48, 64)), (180, (64, 48)), (270, (48, 64))])
def test_a_rotated_video_is_shown_as_a_player_does(degrees, size):
    """The corner that was red comes to the place where the display matrix turns it, clockwise."""
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:24, :32, 0] = 255
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame)))
        container.mux(stream.encode())
    shown = load_frames(as_media(turned(buffer.getvalue(), degrees), kind=MediaKind.VIDEO), POLICY)[0]
    assert shown.size == size
    expected = np.rot90(frame, k=-degrees // 90)
    red = np.asarray(shown)[:, :, 0] > 128
    assert (red == (expected[:, :, 0] > 128)).mean() > 0.95


def turned(mp4, degrees):
    """The file with another display matrix in its track header: nine 16.16 numbers, of which four turn."""
    at = mp4.index(b"tkhd") + 4 + 40
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = struct.pack(">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    return mp4[:at] + matrix + mp4[at + 36 :]


def test_words_of_a_file_that_are_no_utf_8_are_no_damage():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="avi") as container:
        container.metadata["title"] = "xxxxxxxx"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8))))
        container.mux(stream.encode())
    assert len(levels(buffer.getvalue().replace(b"xxxxxxxx", b"caf\xe9 \xff\xfe!"))) == 1
