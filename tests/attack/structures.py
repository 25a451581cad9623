"""Inputs that are wrong in their structure, from a seed: tars, zips and JSON documents that lie. Pictures and videos are
made by `tests.urt_core.media.generated`."""

import bz2
import gzip
import io
import json
import lzma
import math
import random
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.urt_core.media.generated import MAKERS, encode, flipped, videos
from tests.urt_core.server.test_fuzz import FIELDS, GOOD
from tests.urt_data.conftest import image_record
from urt_core.judge import JudgeSpec
from urt_core.prompts import Dialect
from urt_data.shards.index import sha256
from urt_data.shards.sample import to_members
from urt_data.shards.summary import ShardSummary
from urt_data.shards.tar import END_OF_ARCHIVE, canonical_header, pack_sample

Maker = Callable[[random.Random], bytes]
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 5, 10**30, 2**53, 2**63, 10**400, 1.5, -0.5, 1e308, math.nan, math.inf, -math.inf, "", "x", "\ud83d", "\0", "\ufeff",
    "a" * 10_000, [], {}, [[]], [None], [5], {"text": 5}, {"": {}}, [[[[[]]]]], "stop", "length", "NaN", "1e999", "../x", "/etc/passwd",
    "file:///etc/passwd", "http://169.254.169.254/", "data:,", "data:image/png;base64,AAAA", "__class__", "$ref", "{{7*7}}", "${oc.env:HOME}",
    "os.system:x", "ok", "alone", "image_generation", "v1", "f" * 64, "\u202e", "e\u0301" * 500,
)  # fmt: skip
NAMES = ("new", "", "sha256", "files", "auto_map", "__class__", "\ud83d", "../x", "a" * 5000)
LITERALS = (b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b"9" * 5000, b"0x10", b"01", b"1.", b"'a'", b'"\\ud800"', b'"\\uDFFF\\uD800"',
            b'"\\q"', b"undefined", b"/**/1", b'"\x01"', b'"\xff"', b"[" * 3000 + b"]" * 3000, b'{"a":' * 2000 + b"1" + b"}" * 2000)  # fmt: skip


# JSON


def places(value: Any, path: tuple = ()) -> list[tuple]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] + [place for name, item in inner for place in places(item, (*path, name))]


def changed(value: Any, path: tuple, new: Any) -> Any:
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = changed(value[path[0]], path[1:], new)
    return copied


def altered(value: Any, rng: random.Random) -> Any:
    """Up to three places hold something else, are missing, doubled or under another name."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        every = [place for place in places(value) if place]
        if not every:
            return value
        path = rng.choice(every)
        what = rng.randrange(6)
        parent = value
        for step in path[:-1]:
            parent = parent[step]
        if what == 0 and isinstance(parent, dict):
            value = changed(value, path[:-1], {name: item for name, item in parent.items() if name != path[-1]})
        elif what == 1:
            value = changed(
                value, path[:-1], {**parent, rng.choice(NAMES): 1} if isinstance(parent, dict) else [*parent, *parent]
            )
        else:
            value = changed(value, path, rng.choice(NASTY))
    return value


def spelled(value: Any, rng: random.Random) -> bytes:
    """JSON of it; now and then with a literal that is none, a name twice, another encoding, cut off, or with bytes turned."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.7).encode("utf-8", "surrogatepass")
    what = rng.randrange(14)
    if what == 0 and b":" in text:
        at = rng.choice([number for number, byte in enumerate(text) if byte == ord(":")])
        text = text[: at + 1] + rng.choice(LITERALS) + b"," + text[at + 1 :]
    elif what == 1 and b"{" in text:
        at = rng.choice([number for number, byte in enumerate(text) if byte == ord("{")])
        name = rng.choice(list(value) or ["a"]) if isinstance(value, dict) else "a"
        text = (
            text[: at + 1]
            + json.dumps(name).encode("utf-8", "surrogatepass")
            + b":"
            + rng.choice(LITERALS)
            + b","
            + text[at + 1 :]
        )
    elif what == 2:
        text = rng.choice(
            (
                b"\xef\xbb\xbf" + text,
                text.decode("utf-8", "replace").encode("utf-16"),
                text + b"}",
                text + text,
                b"\0" + text,
            )
        )
    elif what == 3:
        text = text[: rng.randrange(len(text) + 1)]
    elif what == 4:
        text = flipped(text, rng)
    elif what == 5:
        text = b"[" * (depth := rng.choice((50, 900, 1100, 100_000))) + text + b"]" * depth
    return text


@cache
def a_record() -> dict[str, Any]:
    return json.loads(dict(to_members(image_record(0)))["json"])


def record(rng: random.Random) -> bytes:
    return spelled(altered(a_record(), rng), rng)


@cache
def _summary() -> tuple[dict[str, Any], dict[str, Any]]:
    """(index, manifest) of two records, as they are written."""
    summary = ShardSummary("shard-000000.tar")
    for number in range(2):
        made = image_record(number)
        summary.add(made, b"".join(pack_sample(made.key, to_members(made))))
    index, entry = summary.finish(END_OF_ARCHIVE)
    from urt_data.shards.index import Manifest

    return json.loads(index), json.loads(Manifest(shards=(entry,), metadata={"source": "mine"}).to_bytes())


def index(rng: random.Random) -> bytes:
    return spelled(altered(_summary()[0], rng), rng)


def _canonical(value: Any) -> bytes:
    """As the writer of manifests spells them."""
    return (json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n").encode()


def manifest(rng: random.Random) -> bytes:
    """Mostly with a hash that fits what it says."""
    document = altered(_summary()[1], rng)
    if rng.random() < 0.8 and isinstance(document, dict):
        document.pop("sha256", None)
        try:
            return _canonical({**document, "sha256": sha256(_canonical(document))})
        except UnicodeEncodeError:
            return json.dumps(document).encode()
    return spelled(document, rng)


def rows(rng: random.Random) -> bytes:
    some = [altered(a_record(), rng) for _ in range(rng.randint(0, 4))]
    form = rng.randrange(4)
    if form == 0:
        return spelled(some, rng)
    if form == 1:
        return spelled({rng.choice(("data", "rows", "other")): some}, rng)
    return rng.choice((b"\n", b"\r\n", b"\n\n", b" ")).join(spelled(one, rng) for one in some)


def endpoint_answer(rng: random.Random) -> bytes:
    tokens = [{"token": "Answer 1", "logprob": -0.5, "top_logprobs": [{"token": "b", "logprob": -2}]}]
    choice = {
        "index": 0,
        "finish_reason": "stop",
        "message": {"role": "assistant", "content": "Answer 1 is better.", "reasoning_content": None, "refusal": None},
        "logprobs": {"content": tokens},
    }
    value: Any = {
        "id": "1",
        "model": "judge",
        "choices": [choice],
        "usage": {"prompt_tokens": 6, "completion_tokens": 3},
    }
    if rng.random() < 0.2:
        delta = {**choice, "delta": choice["message"]}
        events = [spelled(altered({**value, "choices": [delta]}, rng), rng) for _ in range(rng.randint(1, 4))]
        return b"".join(b"data: " + event + b"\n\n" for event in events) + b"data: [DONE]\n\n"
    return spelled(altered(value, rng), rng)


def served_answer(rng: random.Random) -> bytes:
    return spelled(
        altered({"rewards": [0.25, 1], "statuses": ["ok", rng.choice(("ok", "alone", "timeout"))]}, rng), rng
    )


def cached_answer(rng: random.Random) -> bytes:
    one = {
        "text": "Answer 1 is better.", "finish_reason": "stop", "token_ids": [1, 2], "logprobs": [-0.5, -1.0], "token_texts": ["a", "b"],
        "top_logprobs": [[["a", -0.5]], [["b", -1.0]]], "usage": [6, 3], "detail": "",
    }  # fmt: skip
    return spelled(altered([one], rng), rng)


def judge_file(rng: random.Random) -> bytes:
    good = JudgeSpec(
        dialect=Dialect.V1, dimensions={"image_generation": ("semantic consistency", "aesthetics")}, min_pixels=4096, max_pixels=147456,
        num_frames=8, stage="grpo", base="a/b", data_manifest="9f", max_completion_tokens=2048, point_contracts=("acs",),
    )  # fmt: skip
    from dataclasses import asdict

    value = {"schema_version": rng.choice(("1.0", "1.1", "1.1", "1.9", "2.0", "1", 1)), **asdict(good)}
    return spelled(altered(json.loads(json.dumps(value)), rng), rng)


def request_row(rng: random.Random) -> bytes:
    row = {name: GOOD[name] for name in ("task", "text", "first", "second", "media", "key")}
    return spelled(altered(row, rng), rng)


def body(rng: random.Random) -> bytes:
    """The first byte chooses the route's model."""
    routes = ("/v1/compare", "/v1/score", "/v1/rank", "/compute", "/v1/chat/completions")
    number = rng.randrange(len(routes))
    return bytes([number]) + spelled(altered({name: GOOD[name] for name in FIELDS[routes[number]]}, rng), rng)


TEXTS = (
    "<think>", "</think>", "<answer>", "</answer>", "Image 1 is better", "Answer 2 is better", "Both images are equally good.", "1. Semantic "
    "consistency:\n", "Image 1 (9/10) - good; Image 2 (7/10) - bad\n", "Total score:\nImage 1: 9+8+9=26\nImage 2: 7+8+6=21\n", "Final Score: 3.5",
    "[Mood]:", "nan", "1e400", "\uff1canswer\uff1e", "\u202e", "\ud800", "\0", "9" * 400, "(" * 300, "{" * 300, '{"score": 5}', "\n", " ", "|", "**", "#",
)  # fmt: skip


def judgement(rng: random.Random) -> bytes:
    text = "".join(rng.choice(TEXTS) * rng.choice((1, 1, 1, 3)) for _ in range(rng.randint(0, 30)))
    return text.encode("utf-8", "surrogatepass")


# Tars and zips


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
    from PIL import Image

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


# Pictures and videos


def picture(rng: random.Random) -> bytes:
    """Of every maker; now and then a file that is also another one."""
    data = rng.choice(MAKERS)(rng)
    what = rng.randrange(12)
    if what == 0:
        return (
            rng.choice(
                (
                    b"GIF89a",
                    b"BM",
                    b"\xff\xd8\xff",
                    b"RIFF\0\0\0\0WEBP",
                    b"\x89PNG\r\n\x1a\n",
                    b"\0\0\1\0",
                    b"MM\0*",
                    b"#!/bin/sh\n",
                )
            )
            + data
        )
    if what == 1:
        return data + zip_file(rng)
    if what == 2:
        return data + rng.choice(MAKERS)(rng)
    return data if what > 4 else data[: rng.randrange(len(data) + 1)]


@cache
def _videos() -> list[bytes]:
    return list(videos(90, seed=1))


def video(rng: random.Random) -> bytes:
    data = rng.choice(_videos())
    return rng.choice(
        (data, flipped(data, rng), flipped(data[: rng.randrange(len(data))], rng), data[: rng.randrange(len(data))])
    )


MAKERS_OF: dict[str, Maker] = {
    "picture": picture, "video": video, "shard": shard, "archive": archive, "manifest": manifest, "index": index, "record": record, "rows": rows,
    "request_row": request_row, "answer": endpoint_answer, "served_answer": served_answer, "cached_answer": cached_answer,
    "judge_file": judge_file, "judgement": judgement, "body": body,
}  # fmt: skip
"""One for each reader."""
