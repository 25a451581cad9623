"""For each door of `readers` a maker of inputs that are wrong in their structure, from a seed."""

import random
from collections.abc import Callable
from functools import cache

from tests.attack.archives import archive, shard, zip_file
from tests.attack.documents import (
    body,
    cached_answer,
    endpoint_answer,
    index,
    judge_file,
    judgement,
    manifest,
    record,
    request_row,
    rows,
    served_answer,
)  # fmt: skip
from tests.urt_core.media.generated import MAKERS, flipped, videos

Maker = Callable[[random.Random], bytes]


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
