"""JSON documents and texts that lie, from a seed."""

import json
import math
import random
from collections.abc import Callable
from functools import cache
from typing import Any

from tests.urt_core.media.generated import flipped
from tests.urt_core.server.test_fuzz import FIELDS, GOOD
from tests.urt_data.conftest import image_record
from urt_core.judges.spec import JudgeSpec
from urt_core.prompts import Dialect
from urt_data.shards.index import sha256
from urt_data.shards.sample import to_members
from urt_data.shards.summary import ShardSummary
from urt_data.shards.tar import END_OF_ARCHIVE, pack_sample

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
    """JSON of it; now and then with a literal that is none, a name twice, another encoding, cut off, or with bytes
    turned."""
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
    pictures = [{"files": [f"anchor-image-generation-{number}.png"], "strength": number / 2} for number in range(3)]
    value["anchors"] = {
        "image_generation": pictures,
        "image_understanding": [{"text": "a", "strength": n} for n in range(3)],
    }
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
