"""Tars, zips and shards whose headers lie, from a seed."""

import bz2
import gzip
import io
import lzma
import random
import tarfile
import warnings
import zipfile
from functools import cache

from PIL import Image

from tests.attack.documents import record
from tests.urt_core.media.generated import encode, flipped
from tests.urt_data.conftest import image_record
from urt_data.shards.sample import to_members
from urt_data.shards.tar import END_OF_ARCHIVE, canonical_header, pack_sample


def tar_member(rng: random.Random) -> bytes:
    """One member in any of tarfile's formats and kinds, with a name and a size that may lie."""
    names = (
        "pair-1.json",
        "pair-1.first.png",
        "a/../../evil",
        "/etc/passwd",
        "\\\\x\\y",
        "a" * 300,
        "é\ud800.png",
        "",
        ".",
        "a\nb",
        "x.tar",
        "a.pyd",
    )
    info = tarfile.TarInfo(rng.choice(names))
    info.type = rng.choice(
        (b"0", b"0", b"0", b"0", b"\0", b"1", b"2", b"3", b"4", b"5", b"6", b"7", b"S", b"L", b"K", b"x", b"g", b"Z")
    )
    content = rng.choice(
        (
            b"",
            b"{}",
            b"x" * 600,
            b"GNU.sparse.map=0,1\n",
            b"30 mtime=1234.5\n",
            b"20 path=../evil.png\n",
            b"9" * 700,
            encode_png(),
        )
    )
    info.size = len(content)
    info.linkname = rng.choice(("", "/etc/passwd", "../x", "a" * 200))
    info.mtime, info.mode, info.uid = (
        rng.choice((0, 1.5, 2**40)),
        rng.choice((0, 0o644, 0o7777)),
        rng.choice((0, 2**40)),
    )
    info.pax_headers = rng.choice(
        (
            {},
            {},
            {"path": "b.png"},
            {"size": "99999999"},
            {"GNU.sparse.major": "1"},
            {"comment": "9" * 900},
            {"hdrcharset": "BINARY"},
        )
    )
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    try:
        head = info.tobuf(form, "utf-8", "surrogateescape" if rng.random() < 0.5 else "replace")
    except (ValueError, UnicodeError):
        head = canonical_header(b"pair-1.json", len(content))
    packed = head + content + bytes(-len(content) % 512)
    if rng.random() < 0.3:
        at = rng.choice((100, 108, 116, 124, 124, 124, 136, 156, 157, 257, 345, 386, 482))
        block = bytearray(packed[:512])
        block[at : at + 12] = rng.choice(
            (
                b"\xff" * 12,
                b"\x80" + b"\xff" * 11,
                b"\x80" + bytes(11),
                b"-0000000001\0",
                b"77777777777\0",
                b" " * 12,
                rng.randbytes(12),
            )
        )
        block = block[:512]
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        packed = bytes(block) + packed[512:]
    return packed if rng.random() < 0.9 else flipped(packed, rng)


@cache
def encode_png() -> bytes:
    return encode(Image.new("RGB", (3, 3)), "PNG")


def shard(rng: random.Random) -> bytes:
    """Good samples with a member, a record or a byte among them that lies."""
    parts = []
    for number in range(rng.randint(0, 3)):
        if rng.random() < 0.5:
            made = image_record(number)
            parts.append(b"".join(pack_sample(made.key, to_members(made))))
        elif rng.random() < 0.5:
            members = [("json", record(rng)), ("first.png", b"x"), ("second.png", b"y")]
            parts.append(b"".join(pack_sample("pair-0", members[: rng.randint(1, 3)])))
        else:
            parts.append(tar_member(rng))
    data = b"".join(parts) + rng.choice((END_OF_ARCHIVE, END_OF_ARCHIVE, b"", bytes(512), END_OF_ARCHIVE + b"x"))
    return data if rng.random() < 0.8 else rng.choice((data[: rng.randrange(len(data) + 1)], flipped(data, rng)))


def tar(rng: random.Random) -> bytes:
    data = b"".join(tar_member(rng) for _ in range(rng.choice((1, 2, 3, 8)))) + rng.choice((END_OF_ARCHIVE, b""))
    return data if rng.random() < 0.8 else data[: rng.randrange(len(data) + 1)]


def zip_file(rng: random.Random) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name twice is what is wanted
        with zipfile.ZipFile(buffer, "w", rng.choice((0, 8, 12, 14))) as packed:
            for _ in range(rng.randint(0, 4)):
                info = zipfile.ZipInfo(
                    rng.choice(("a.png", "b/c.png", "../evil", "/abs", "a\\b", "é.png", "x/", "a.tar", "a" * 200))
                )
                info.external_attr = rng.choice((0, 0o120777 << 16, 0o100644 << 16, 0o20666 << 16))
                info.compress_type = packed.compression
                packed.writestr(info, rng.choice((b"", encode_png(), b"\0" * 100_000, tar(rng))))
    data = buffer.getvalue()
    for _ in range(rng.choice((0, 0, 1, 3))):
        data = rng.choice((flipped(data, rng), data[: rng.randrange(len(data) + 1)], b"MZ" * 40 + data, data + data))
    return data


def archive(rng: random.Random) -> bytes:
    """The first byte is the kind, as `readers.archive` takes it."""
    kind = rng.randrange(5)
    data = zip_file(rng) if kind == 1 else tar(rng)
    if kind > 1:
        data = (gzip.compress, lzma.compress, bz2.compress)[kind - 2](data)
        data = (
            data
            if rng.random() < 0.5
            else rng.choice((flipped(data, rng), data[: rng.randrange(len(data) + 1)], data + b"x", data * 2))
        )
    return bytes([kind]) + data
