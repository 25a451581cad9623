"""A video file -> uniformly spaced RGB frames, upright and scaled, with PyAV (`pip install "urt-core[video]"`).

FFmpeg has no bound on what a file may cost: a small one may hold thousands of large frames, and reference frames by the
dozen. So the work is counted before it is done, and done in a process of its own (`isolation`), which has a
limit of memory and of CPU and may die without harm.
"""

import io
from bisect import bisect_right
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from PIL import Image

from urt_core.errors import MediaError
from urt_core.media.images import LARGE_PIXELS, reduction, rgb_copy
from urt_core.media.limits import MediaLimits, check_bytes, check_size, decoder_wall
from urt_core.media.sampling import MediaPolicy, fit_pixels, frame_indices

_FRAME_COST = 1 << 14
"""Pixels that the handling of one frame is worth, however small it is."""
_PIXELS_PER_BYTE = 1024
PICTURE = "webp_pipe"
"""Of a WebP, which comes here when it is too large for Pillow; never what `sniff_container` finds."""
LARGE_FRAME = 1 << 23
"""Pixels above which a frame is scaled in two steps, first by a whole factor; 4K (3840 x 2160) is below it."""
_TURN = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}


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


def decode_video(
    data: bytes, *, policy: MediaPolicy, name: str, limits: MediaLimits, container_format: str | None = None
) -> list[Image.Image]:
    """At most `policy.num_frames` frames of the first video stream, as a player shows them, scaled by the policy."""
    check_bytes(data, name=name, limits=limits)
    container_format = container_format or sniff_container(data, name)
    import av

    with decoder_wall(name, kind="video"):
        source = _Source(av=av, data=data, container_format=container_format, name=name, limits=limits)
        plan = source.plan()
        wanted = frame_indices(plan.num_frames, policy.num_frames)
        if plan.cost(plan.num_frames) <= source.budget:
            frames, num_decoded = source.in_a_row(wanted, policy)
            if num_decoded != plan.num_frames:
                # The container promised another number than the codec delivered: choose again among what there is.
                frames, _ = source.in_a_row(frame_indices(num_decoded, policy.num_frames), policy)
        else:
            frames = source.by_seeking(plan, wanted, policy)
    if not frames:
        raise MediaError(f"{name}: the video holds no decodable frame")
    return frames


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Which packets a video has: Plan(times=(0, 512, 1024), keys=(0,), pixels=307200)"""

    times: tuple[int, ...]
    """Presentation time of each packet in the order they are shown; empty where one has none."""
    keys: tuple[int, ...]
    """Those of the key frames, at which decoding may begin."""
    pixels: int
    num_frames: int

    def cost(self, num_frames: int) -> int:
        return num_frames * (self.pixels + _FRAME_COST)

    def since_key(self, index: int) -> int:
        """Frames to decode for that one, from the key frame before it."""
        key = self.keys[max(0, bisect_right(self.keys, self.times[index]) - 1)]
        return index - bisect_right(self.times, key) + 2


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    av: Any
    data: bytes
    container_format: str
    name: str
    limits: MediaLimits

    @property
    def budget(self) -> int:
        return self.limits.max_decoded_pixels + _PIXELS_PER_BYTE * len(self.data)

    @property
    def max_pixels(self) -> int:
        picture = self.container_format == PICTURE
        return self.limits.max_image_pixels if picture else min(self.limits.max_image_pixels, LARGE_PIXELS)

    def open(self) -> Any:
        # FFmpeg decodes while it opens, to find out what it has: the same limits hold for that.
        options = {"max_pixels": str(self.max_pixels), "threads": "1", "probesize": str(2**20)}
        return self.av.open(
            io.BytesIO(self.data), format=self.container_format, options=options, metadata_errors="replace"
        )

    def stream(self, container: Any) -> Any:
        if not container.streams.video:
            raise MediaError(f"{self.name}: the file has no video stream")
        stream = container.streams.video[0]
        context = stream.codec_context
        if context is None:
            raise MediaError(f"{self.name}: the video's codec is not known here")
        if not context.width or not context.height:
            raise MediaError(
                f"{self.name}: the size of its frames can't be found out, or is above {self.max_pixels:,} pixels "
                "(MediaLimits.max_image_pixels, at most 4096 x 4096)"
            )
        limits = MediaLimits(max_image_pixels=self.max_pixels)
        check_size(context.width, context.height, name=self.name, limits=limits)
        context.options = {"max_pixels": str(self.max_pixels)}
        context.thread_count = 1
        return stream

    def plan(self) -> Plan:
        times: list[int | None] = []
        keys: list[int] = []
        with self.open() as container:
            stream = self.stream(container)
            for packet in container.demux(stream):
                if not packet.size or packet.is_discard:
                    continue
                times.append(packet.pts)
                if packet.is_keyframe and packet.pts is not None:
                    keys.append(packet.pts)
                if len(times) > self.limits.max_frames:
                    allowed = self.limits.max_frames
                    raise MediaError(f"{self.name}: more than {allowed:,} frames (MediaLimits.max_frames); cut it")
            context = stream.codec_context
            known = [time for time in times if time is not None]
            return Plan(
                times=tuple(sorted(known)) if len(known) == len(times) else (),
                keys=tuple(sorted(keys)),
                pixels=context.width * context.height,
                num_frames=len(times),
            )

    def in_a_row(self, wanted: list[int], policy: MediaPolicy) -> tuple[list[Image.Image], int]:
        """The wanted frames, and how many were decoded in all."""
        chosen, frames, count = set(wanted), [], 0
        with self.open() as container:
            for frame in self._decoded(container, self.stream(container), spent=0):
                if count in chosen:
                    frames.append(self._shown(frame, policy))
                count += 1
        return frames, count

    def by_seeking(self, plan: Plan, wanted: list[int], policy: MediaPolicy) -> list[Image.Image]:
        """Each wanted frame from the key frame before it, for a video that is too long to be decoded whole."""
        if not plan.times or not plan.keys or plan.cost(sum(map(plan.since_key, wanted))) > self.budget:
            raise MediaError(
                f"{self.name}: {plan.num_frames:,} frames of {plan.pixels:,} pixels, and too few key frames between them, "
                f"to decode within {self.budget:,} pixels (MediaLimits.max_decoded_pixels); cut it, or scale it down"
            )
        frames: list[Image.Image] = []
        with self.open() as container:
            stream = self.stream(container)
            spent = 0
            for index in wanted:
                container.seek(plan.times[index], stream=stream, backward=True)
                with closing(self._decoded(container, stream, spent=spent)) as decoded:
                    for frame in decoded:
                        spent += frame.width * frame.height + _FRAME_COST
                        if frame.pts is not None and frame.pts >= plan.times[index]:
                            frames.append(self._shown(frame, policy))
                            break
        return frames

    def _decoded(self, container: Any, stream: Any, *, spent: int) -> Generator[Any, None, None]:
        """Frames, as long as the budget lasts: a file may hold more and larger ones than it says."""
        for frame in container.decode(stream):
            spent += frame.width * frame.height + _FRAME_COST
            if spent > self.budget:
                raise MediaError(
                    f"{self.name}: more than {self.budget:,} pixels to decode (MediaLimits.max_decoded_pixels); cut it, or scale it down"
                )
            yield frame

    def _shown(self, frame: Any, policy: MediaPolicy) -> Image.Image:
        limits = MediaLimits(max_image_pixels=self.max_pixels)
        check_size(frame.width, frame.height, name=self.name, limits=limits)
        factor = reduction(frame.width, frame.height, policy.max_pixels)
        if frame.width * frame.height <= LARGE_FRAME:
            factor = 1
        size = (-(-frame.width // factor), -(-frame.height // factor))
        image = _to_image(frame, size=size, transparent=self.container_format == PICTURE)
        # Players turn a frame by the display matrix beside it; `rotation` counts against the clock, as Pillow does.
        # What EXIF says of a picture is heeded by whoever gave it here.
        turn = _TURN.get(round(frame.rotation) % 360) if self.container_format != PICTURE else None
        return fit_pixels(image.transpose(turn) if turn is not None else image, policy)


def _to_image(frame: Any, *, size: tuple[int, int], transparent: bool = False) -> Image.Image:
    """As `frame.to_image`, without the copy of a whole frame that it makes in between; what is transparent lies on white."""
    mode = "RGBA" if transparent else "RGB"
    scaled = "AREA" if size != (frame.width, frame.height) else None
    rgb = frame.reformat(*size, format="rgba" if transparent else "rgb24", interpolation=scaled)
    plane = rgb.planes[0]
    image = Image.frombytes(mode, size, plane, "raw", mode, plane.line_size)
    return rgb_copy(image) if transparent else image
