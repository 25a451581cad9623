"""Media made to cost more than they weigh: each is decoded in a fresh process, whose memory and seconds are measured, those
of the children that it decodes in too."""

import io
import json
import os
import random
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from tests.urt_core.media.generated import chunk, encode, has_codec, jpeg_segments, video

MAX_MB = 300
MAX_SECONDS_OF_SMALL = 5.0
SMALL_BYTES = 10**6
MEASURE = """
import json, resource, sys, time
from pathlib import Path
from urt_core.errors import UrtError
from urt_core.media import MediaPolicy, as_media, isolation, load_frames
data, kind = Path(sys.argv[1]).read_bytes(), sys.argv[2]
policy = MediaPolicy(min_pixels=1, max_pixels=512 * 512, num_frames=8)

def memory(pid):
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024

if kind == "video":
    try:
        load_frames(as_media(Path(sys.argv[3]).read_bytes(), kind="video"), policy)
    except UrtError:
        pass
children = [child.process.pid for child in list(isolation._pool.idle.queue)]
before, cpu = memory("self") + sum(map(memory, children)), time.process_time()
spent = [sum(map(float, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) for pid in children]
try:
    found = "decoded" if load_frames(as_media(data, kind=kind), policy) else "nothing"
except UrtError as error:
    found = f"{type(error).__name__}: {error}"
except BaseException as error:
    found = f"UNCAUGHT {type(error).__name__}: {error}"
alive = [child.process.pid for child in list(isolation._pool.idle.queue) if child.process.pid in children and child.alive]
peak = memory("self") + sum(map(memory, alive))
seconds = time.process_time() - cpu
for pid, old in zip(children, spent):
    if pid in alive:
        seconds += (sum(map(float, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13])) - old) / 100
    else:
        seconds += max(0.0, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - old / 100)
        peak = max(peak, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024 + memory("self"))
print(json.dumps({"found": found[:120], "mb": peak - before, "seconds": seconds}))
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost(name="progressive 100 scans", kind="image", bytes=128000, mb=201.0, seconds=1.2, found="decoded")"""

    name: str
    kind: str
    bytes: int
    mb: float
    seconds: float
    found: str

    @property
    def is_fault(self) -> bool:
        too_slow = self.bytes <= SMALL_BYTES and self.seconds > MAX_SECONDS_OF_SMALL
        return self.found.startswith("UNCAUGHT") or self.mb > MAX_MB or too_slow


def measured(folder: Path, *, is_short: bool = False) -> Iterator[Cost]:
    (folder / "warm").write_bytes(video(num_frames=2) if has_codec("mpeg4") else b"x")
    for name, kind, make in CASES[:: 4 if is_short else 1]:
        path = folder / "medium"
        path.write_bytes(make())
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path), kind, str(folder / "warm")],
            capture_output=True, text=True, check=False, timeout=300, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        lines = done.stdout.splitlines() or [
            json.dumps({"found": f"UNCAUGHT end {done.returncode}", "mb": 0, "seconds": 0})
        ]
        yield Cost(name, kind, path.stat().st_size, **json.loads(lines[-1]))


def png(width: int, height: int, *, colour: int = 6, depth: int = 16, interlaced: int = 1, extra: bytes = b"") -> bytes:
    """As many zeros as the header says, well packed."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    packer, left = (
        zlib.compressobj(9),
        height * (1 + width * channels * depth // 8) * (9 if interlaced else 8) // 8 + 8 * height,
    )
    packed = (
        b"".join(packer.compress(bytes(min(left - at, 1 << 20))) for at in range(0, left, 1 << 20)) + packer.flush()
    )
    palette = chunk(b"PLTE", bytes(768)) if colour == 3 else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    return b"\x89PNG\r\n\x1a\n" + header + extra + palette + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def scans(number: int, *, side: int = 4096, mode: str = "RGB") -> bytes:
    parts = jpeg_segments(encode(Image.new(mode, (side, side)), "JPEG", progressive=True))
    last = max(place for place, part in enumerate(parts) if part[:2] == b"\xff\xda")
    return b"".join(parts[:last] + [parts[last]] * number + parts[last:])


def long_gif() -> bytes:
    one = encode(Image.new("P", (4096, 4096)), "GIF")
    start = one.index(b"\x2c")
    small = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return one[:start] + one[start:-1] + small * 4095 + b"\x3b"


def png_in_mov(side: int) -> bytes:
    """Says 64 x 64 and holds one frame of `side` x `side`."""
    import importlib

    av = importlib.import_module("av")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mov") as container:
        stream = container.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
        packet = av.Packet(png(side, side, colour=2, depth=8, interlaced=0))
        packet.stream, packet.pts, packet.dts = stream, 1, 1
        container.mux(packet)
    return buffer.getvalue()


def noise_webp(side: int) -> bytes:
    return encode(
        Image.frombytes("RGB", (side, side), random.Random(1).randbytes(3 * side * side)),
        "WEBP",
        lossless=True,
        method=0,
    )


def flat_video(codec: str, side: int, frames: int, *, container: str = "mp4") -> Callable[[], bytes]:
    def make() -> bytes:
        if not has_codec(codec):
            return b"\0\0\0\x18ftypisom" + bytes(100)
        return video(
            container,
            codec,
            num_frames=frames,
            size=(side, side),
            options={"preset": "ultrafast"} if codec == "libx264" else None,
        )

    return make


Make = Callable[[], bytes]
CASES: tuple[tuple[str, str, Make], ...] = (
    ("PNG 33 megapixels, RGBA 16 bit, interlaced", "image", lambda: png(5792, 5792)),
    ("PNG 33 megapixels, 1 bit", "image", lambda: png(5792, 5792, colour=0, depth=1, interlaced=0)),
    ("PNG 100 megapixels", "image", lambda: png(10_000, 10_000, colour=0, depth=1, interlaced=0)),
    ("PNG with an ICC profile of 60 MB behind 60 KB", "image", lambda: png(64, 64, extra=chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(60 << 20), 9)))),
    ("PNG with a text of 60 MB behind 60 KB", "image", lambda: png(64, 64, extra=chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(60 << 20), 9)) * 4)),
    ("PNG of 80,000 empty chunks", "image", lambda: png(64, 64, extra=chunk(b"tEXt", b"") * 80_000)),
    ("APNG of 400 frames", "image", lambda: encode(Image.new("P", (512, 512)), "PNG", save_all=True, append_images=[Image.new("P", (512, 512), n % 2) for n in range(400)])),
    ("JPEG of 89 scans, 4096 x 4096", "image", lambda: scans(80)),
    ("JPEG of 10,000 scans, 4096 x 4096", "image", lambda: scans(10_000)),
    ("JPEG of 89 scans, CMYK, 4096 x 4096", "image", lambda: scans(80, mode="CMYK")),
    ("JPEG with 900 KB of fill bytes", "image", lambda: (lambda data: data[:2] + b"\xff" * 900_000 + data[2:])(encode(Image.new("RGB", (64, 64)), "JPEG"))),
    ("JPEG with 900 KB of restart markers", "image", lambda: (lambda data: data[:-2] + b"\xff\xd0" * 450_000 + data[-2:])(encode(Image.new("RGB", (64, 64)), "JPEG"))),
    ("MPO of 100 pictures", "image", lambda: encode(Image.new("RGB", (1024, 1024)), "MPO", save_all=True, append_images=[Image.new("RGB", (1024, 1024))] * 100)),
    ("WebP 4096 x 4096, flat", "image", lambda: encode(Image.new("RGBA", (4096, 4096)), "WEBP", lossless=True, method=0)),
    ("WebP of noise, 1024 x 1024", "image", lambda: noise_webp(1024)),
    ("WebP of 300 frames", "image", lambda: encode(Image.new("RGB", (512, 512)), "WEBP", save_all=True, append_images=[Image.new("RGB", (512, 512), (n % 256, 0, 0)) for n in range(300)], method=0)),
    ("GIF of 4,096 frames, 4096 x 4096", "image", long_gif),
    ("BMP 33 megapixels in run lengths", "image", lambda: run_length_bmp(5792)),
    ("GIF of 4,096 frames, 4096 x 4096, as a video", "video", long_gif),
    ("MOV that says 64 x 64 and holds 5600 x 5600", "video", lambda: png_in_mov(5600)),
    ("MOV that says 64 x 64 and holds 16000 x 16000", "video", lambda: png_in_mov(16_000)),
    ("MPEG-4 of 4096 x 4096, 30 frames", "video", flat_video("mpeg4", 4096, 30)),
    ("H.264 of 4096 x 4096, 60 frames", "video", flat_video("libx264", 4096, 60)),
    ("MJPEG of 2048 x 2048, 60 frames in AVI", "video", flat_video("mjpeg", 2048, 60, container="avi")),
    ("VP8 of 2048 x 2048, 30 frames in WebM", "video", flat_video("libvpx", 2048, 30, container="webm")),
    ("MPEG-4 of 20,000 frames", "video", flat_video("mpeg4", 64, 20_000)),
)  # fmt: skip


def run_length_bmp(side: int) -> bytes:
    row = b"".join(bytes([255, 0]) for _ in range(side // 255 + 1)) + b"\0\0"
    body = row * side + b"\0\1"
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(body), 0, 0, 256, 0) + bytes(1024)
    return b"BM" + struct.pack("<IHHI", 14 + len(header) + len(body), 0, 0, 14 + len(header)) + header + body
