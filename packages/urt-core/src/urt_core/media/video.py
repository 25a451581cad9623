"""A video file -> uniformly spaced RGB frames, with PyAV (`pip install "urt-core[video]"`)."""

import io
from collections.abc import Collection, Iterator
from typing import Any

from PIL import Image

from urt_core.errors import MediaError
from urt_core.media.images import DECODER_ERRORS, MediaLimits, check_size, upright_rgb
from urt_core.media.sampling import frame_indices


def decode_video(data: bytes, *, num_frames: int, name: str, limits: MediaLimits) -> list[Image.Image]:
    """At most `num_frames` frames of the first video stream; only those are converted and kept."""
    av = import_av()
    if len(data) > limits.max_file_bytes:
        raise MediaError(
            f"{name}: {len(data):,} bytes, allowed are {limits.max_file_bytes:,} (MediaLimits.max_file_bytes)"
        )
    container_format = sniff_container(data, name)
    try:
        num_available = count_packets(av, data, container_format, name=name, limits=limits)
        frames, num_decoded = pick_frames(
            av, data, container_format, frame_indices(num_available, num_frames), name=name, limits=limits
        )
        if num_decoded != num_available:
            # The container promised another number than the codec delivered: choose again among what there is.
            wanted = frame_indices(num_decoded, num_frames)
            frames, _ = pick_frames(av, data, container_format, wanted, name=name, limits=limits)
    except MediaError:
        raise
    except (av.FFmpegError, *DECODER_ERRORS) as error:
        raise MediaError(f"{name}: not a readable video ({type(error).__name__}: {str(error)[:200]})") from error
    if not frames:
        raise MediaError(f"{name}: the video holds no decodable frame")
    return frames


def import_av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MediaError(
            'video files need PyAV: pip install "urt-core[video]", or give the frames as a list of images'
        ) from error
    return av


def sniff_container(data: bytes, name: str) -> str:
    """FFmpeg must not choose: playlists and concatenation scripts make it open other files and addresses."""
    if data[4:8] == b"ftyp":
        return "mov"
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    if data[:4] == b"RIFF" and data[8:11] == b"AVI":
        return "avi"
    if data[:4] == b"GIF8":
        return "gif"
    raise MediaError(f"{name}: not a video of an allowed container (MP4/MOV, WebM/MKV, AVI, GIF)")


def count_packets(av: Any, data: bytes, container_format: str, *, name: str, limits: MediaLimits) -> int:
    with av.open(io.BytesIO(data), format=container_format) as container:
        stream = video_stream(container, name=name, limits=limits)
        count = 0
        for packet in container.demux(stream):
            count += packet.size > 0
            if count > limits.max_frames:
                raise MediaError(f"{name}: more than {limits.max_frames:,} frames (MediaLimits.max_frames); cut it")
        return count


def pick_frames(
    av: Any, data: bytes, container_format: str, wanted: Collection[int], *, name: str, limits: MediaLimits
) -> tuple[list[Image.Image], int]:
    """The wanted frames, and how many were decoded in all."""
    frames, count = [], 0
    with av.open(io.BytesIO(data), format=container_format) as container:
        stream = video_stream(container, name=name, limits=limits)
        for count, frame in enumerate(bounded(container.decode(stream), limits.max_frames, name), start=1):
            if count - 1 in wanted:
                check_size(frame.width, frame.height, name=name, limits=limits)
                frames.append(upright_rgb(frame.to_image()))
    return frames, count


def video_stream(container: Any, *, name: str, limits: MediaLimits) -> Any:
    if not container.streams.video:
        raise MediaError(f"{name}: the file has no video stream")
    stream = container.streams.video[0]
    check_size(stream.codec_context.width, stream.codec_context.height, name=name, limits=limits)
    stream.codec_context.thread_count = 1
    return stream


def bounded(frames: Iterator[Any], max_frames: int, name: str) -> Iterator[Any]:
    for count, frame in enumerate(frames, start=1):
        if count > max_frames:
            raise MediaError(f"{name}: more than {max_frames:,} frames (MediaLimits.max_frames); cut it")
        yield frame
