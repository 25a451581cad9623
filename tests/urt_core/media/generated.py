"""Pictures and videos that are wrong in their structure, from a seed: what flipping bits of good files does not
find."""

import importlib
import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from urt_core.errors import MediaError
from urt_core.media import decode_image

PNG_KINDS = ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16)), (1, (8,)), (5, (7,)))
MODES = (
    "1",
    "L",
    "LA",
    "P",
    "PA",
    "RGB",
    "RGBA",
    "CMYK",
    "I;16",
    "I",
    "F",
    "YCbCr",
    "HSV",
    "LAB",
    "RGBX",
    "La",
    "RGBa",
)


def encode(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes, *, right: bool = True) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ (not right))


def png(rng: random.Random) -> bytes:
    """Every colour type, depth and interlacing; with or without palette, transparency and whole data."""
    colour, depths = rng.choice(PNG_KINDS)
    depth, (width, height) = rng.choice(depths), (rng.randint(0, 40), rng.randint(1, 40))
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    row = 1 + (width * channels * depth + 7) // 8
    rows = b"".join(bytes([rng.choice((0, 0, 1, 2, 3, 4, 9))]) + rng.randbytes(row - 1) for _ in range(height))
    packed = zlib.compress(rows[: rng.choice((None, row, row * height // 2))])
    interlaced = rng.choice((0, 0, 1, 2))
    chunks = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, rng.choice((0, 0, 0, 1)), 0, interlaced))
    ]
    if rng.random() < 0.7:
        chunks.append(chunk(b"PLTE", rng.randbytes(rng.choice((0, 3, 3 * 2 ** min(depth, 8), 5, 768, 900)))))
    if rng.random() < 0.5:
        chunks.append(chunk(b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 6, 256)))))
    if rng.random() < 0.3:
        chunks.append(
            chunk(rng.choice((b"eXIf", b"iTXt", b"zTXt", b"iCCP", b"acTL", b"fcTL", b"gAMA", b"ABCD")), exif(rng))
        )
    chunks += [chunk(b"IDAT", packed[: len(packed) // 2]), chunk(b"IDAT", packed[len(packed) // 2 :])]
    chunks.append(chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(shuffled(chunks, rng))


def exif(rng: random.Random) -> bytes:
    order = rng.choice("<>")
    entries = [
        struct.pack(f"{order}HHII", rng.choice((0x112, 0x8769, 0x100, 0x8825)), rng.randint(0, 14), rng.choice((1, 0, 2**32 - 1)),
                    rng.choice((rng.randint(0, 9) << (0 if order == "<" else 16), 8, 2**32 - 1)))
        for _ in range(rng.randint(0, 6))
    ]  # fmt: skip
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", rng.choice((8, 8, 8, 0, 2**31)))
    return head + struct.pack(f"{order}H", rng.choice((len(entries), 65535))) + b"".join(entries)


def shuffled(parts: list[bytes], rng: random.Random) -> list[bytes]:
    """Mostly in order; else with a part missing, doubled, moved or cut."""
    parts = list(parts)
    for _ in range(rng.choice((0, 0, 1, 2))):
        place, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        what = rng.randrange(5)
        if what == 0 and len(parts) > 1:
            del parts[place]
        elif what == 1:
            parts.insert(other, parts[place])
        elif what == 2:
            parts[place], parts[other] = parts[other], parts[place]
        elif what == 3:
            parts[place] = parts[place][: rng.randint(0, len(parts[place]))]
        else:
            parts[place] = flipped(parts[place], rng)
    return parts


def flipped(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 8) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.choice((0, 0xFF, 0x7F, rng.randrange(256)))
    return bytes(changed)


def jpeg_segments(data: bytes) -> list[bytes]:
    parts, position = [data[:2]], 2
    while position + 4 <= len(data) and data[position + 1] != 0xD9:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if data[position + 1] == 0xDA:
            while not (data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))):
                end += 1
        parts.append(data[position:end])
        position = end
    return [*parts, data[position:]]


def jpeg(rng: random.Random) -> bytes:
    mode = rng.choice(("L", "RGB", "CMYK"))
    image = Image.frombytes(mode, (24, 17), rng.randbytes(24 * 17 * len(mode.replace("L", "1").replace("1", "L"))))
    data = encode(image, "JPEG", progressive=rng.random() < 0.6, quality=rng.choice((5, 75, 100)))
    parts = jpeg_segments(data)
    if rng.random() < 0.4:
        block = b"Exif\0\0" + exif(rng)
        parts.insert(1, b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block)
    if rng.random() < 0.3:
        scan = next(number for number, part in enumerate(parts) if part[:2] == b"\xff\xda")
        parts[scan:scan] = [parts[scan]] * rng.choice((1, 3, 200))
    if rng.random() < 0.2:
        parts.insert(
            rng.randint(1, len(parts)), rng.choice((b"\xff" * 50, b"\xff\x00" * 50, b"\xff\x01", b"\xff\xd0", b"\0\0"))
        )
    return b"".join(shuffled(parts, rng))


def gif(rng: random.Random) -> bytes:
    width, height = rng.randint(0, 20), rng.randint(0, 20)
    parts = [
        rng.choice((b"GIF87a", b"GIF89a")) + struct.pack("<HHBBB", width, height, rng.choice((0, 0x80, 0xF7)), 3, 0)
    ]
    parts.append(rng.randbytes(rng.choice((0, 6, 768))))
    if rng.random() < 0.5:
        parts.append(b"\x21\xf9\x04" + rng.randbytes(4) + b"\0")
    if rng.random() < 0.5:
        parts.append(b"\x21" + rng.choice((b"\xfe", b"\xff", b"\x01")) + blocks(rng.randbytes(rng.randint(0, 900))))
    for _ in range(rng.randint(0, 3)):
        box = struct.pack(
            "<HHHHB",
            rng.randint(0, 9),
            rng.randint(0, 9),
            rng.randint(0, 30),
            rng.randint(0, 30),
            rng.choice((0, 0x40, 0x81)),
        )
        parts.append(
            b"\x2c" + box + bytes([rng.choice((2, 8, 0, 12, 200))]) + blocks(rng.randbytes(rng.randint(0, 200)))
        )
    parts.append(b"\x3b")
    return b"".join(shuffled(parts, rng))


def blocks(data: bytes) -> bytes:
    return b"".join(bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)) + b"\0"


def webp(rng: random.Random) -> bytes:
    frames = [Image.frombytes("RGBA", (9, 7), rng.randbytes(9 * 7 * 4)) for _ in range(3)]
    animated = {"save_all": True, "append_images": frames[1:]} if rng.random() < 0.4 else {}
    data = encode(frames[0], "WEBP", lossless=rng.random() < 0.5, method=0, exif=exif(rng), **animated)
    parts, position = [data[:12]], 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        end = position + 8 + length + (length & 1)
        parts.append(data[position:end])
        position = end
    return b"".join(shuffled(parts, rng))


def bmp(rng: random.Random) -> bytes:
    bits, compression = rng.choice((0, 1, 4, 8, 16, 24, 32, 64)), rng.choice((0, 0, 1, 2, 3, 4, 5, 6))
    header_size = rng.choice((12, 40, 40, 40, 52, 56, 64, 108, 124, 0, 5000))
    size = struct.pack("<ii", rng.choice((0, 5, 16, -4, 2**31 - 1)), rng.choice((5, 16, -16, -(2**31))))
    rest = struct.pack("<HHIIiiII", 1, bits, compression, rng.choice((0, 400)), 0, 0, rng.choice((0, 2, 256, 2**31)), 0)
    body = (size + rest + rng.randbytes(84))[: max(0, header_size - 4)]
    data = struct.pack("<I", header_size) + body + rng.randbytes(rng.choice((0, 8, 1024))) + rng.randbytes(600)
    return b"BM" + struct.pack("<IHHI", len(data) + 14, 0, 0, rng.choice((14 + header_size, 54, 0, 2**31))) + data


def any_mode(rng: random.Random) -> bytes:
    """A good picture of any mode that a format can hold, whole or damaged."""
    mode, image_format = (
        rng.choice(MODES),
        rng.choice(("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "ICO", "TGA")),
    )
    try:
        data = encode(Image.new(mode, (rng.randint(1, 30), rng.randint(1, 30))), image_format)
    except (OSError, ValueError, KeyError):  # the format does not have this mode
        data = encode(Image.new("RGB", (8, 8)), "PNG")
    return data if rng.random() < 0.5 else flipped(data[: rng.randint(1, len(data))], rng)


MAKERS: tuple[Callable[[random.Random], bytes], ...] = (png, jpeg, gif, webp, bmp, any_mode)


def pictures(number: int, *, seed: int = 0) -> Iterator[bytes]:
    for index in range(number):
        rng = random.Random(seed * 1_000_003 + index)
        yield MAKERS[index % len(MAKERS)](rng)


def video(
    container_format: str = "mp4",
    codec: str = "mpeg4",
    *,
    num_frames: int = 20,
    size: tuple[int, int] = (64, 48),
    step: int = 10,
    options: dict[str, str] | None = None,
) -> bytes:
    """Frame i is grey of level step * i, modulo 256."""
    av: Any = importlib.import_module("av")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=10, options=options or {})
        stream.width, stream.height = size
        stream.pix_fmt = {"gif": "rgb8", "png": "rgb24", "rawvideo": "rgb24", "mjpeg": "yuvj420p"}.get(codec, "yuv420p")
        for index in range(num_frames):
            pixels = np.full((size[1], size[0], 3), step * index % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode())
    return buffer.getvalue()


def videos(number: int, *, seed: int = 0) -> Iterator[bytes]:
    """Good files of every container, with boxes and bytes that lie."""
    kinds = [("mp4", "mpeg4"), ("mp4", "libx264"), ("matroska", "mpeg4"), ("webm", "libvpx"), ("avi", "mpeg4"),
             ("mov", "png"), ("mov", "rawvideo"), ("gif", "gif"), ("avi", "mjpeg")]  # fmt: skip
    good = [video(container, codec, num_frames=6, size=(32, 32)) for container, codec in kinds if has_codec(codec)]
    for index in range(number):
        rng = random.Random(seed * 1_000_003 + index)
        data = bytearray(good[index % len(good)])
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(12, len(data) - 4)
            data[at : at + 4] = rng.choice(
                (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", rng.randbytes(4), bytes(data[at : at + 3]))
            )
        yield bytes(data[: rng.choice((len(data), len(data), rng.randrange(12, len(data))))])


def has_codec(name: str) -> bool:
    av: Any = importlib.import_module("av")
    try:
        av.codec.Codec(name, "w")
    except (ValueError, av.FFmpegError):
        return False
    return True


def outcome(data: bytes) -> str:
    try:
        return decode_image(data).mode
    except MediaError:
        return "MediaError"
