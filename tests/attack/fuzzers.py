"""Every door of `readers` gets inputs of `structures`, from a seed: a result or an error of ours, in time.

A case is a number: the same number is the same bytes, so a fault is found again by `make(door, seed, number)`.
"""

import random
import time
import traceback
from dataclasses import dataclass, field

from tests.attack.readers import READERS, outcome
from tests.attack.structures import MAKERS_OF

MAX_CPU_SECONDS = 5.0


@dataclass(slots=True)
class Found:
    """What one door made of its cases."""

    door: str
    cases: int = 0
    results: int = 0
    typed: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)
    """The first of each kind, with the number of its case."""


def make(door: str, seed: int, number: int) -> bytes:
    return MAKERS_OF[door](random.Random(f"{door} {seed} {number}"))


def fuzz(door: str, cases: int, *, seed: int) -> Found:
    found, kinds = Found(door, cases), set()
    for number in range(cases):
        data, began = make(door, seed, number), time.thread_time()
        try:
            if outcome(READERS[door], data) == "result":
                found.results += 1
            else:
                found.typed += 1
        except Exception as error:  # noqa: BLE001 - the very thing that is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            kind = (type(error).__name__, place.filename, place.lineno)
            if kind not in kinds:
                kinds.add(kind)
                found.faults.append(
                    f"{door} {number}: {type(error).__name__}: {str(error)[:80]} ({place.filename.rpartition('/')[2]}:{place.lineno})"
                )
        took = time.thread_time() - began
        found.slowest = max(found.slowest, took)
        if took > MAX_CPU_SECONDS:
            found.faults.append(f"{door} {number}: {took:.1f} s of CPU")
    return found


def truncations(seed: int) -> Found:
    """A good picture of each format, and a shard, cut off at every byte."""
    from PIL import Image

    from tests.urt_core.media.generated import encode
    from tests.urt_data.conftest import image_record
    from urt_data.shards.sample import to_members
    from urt_data.shards.tar import END_OF_ARCHIVE, pack_sample

    rng = random.Random(seed)
    image = Image.frombytes("RGB", (12, 9), rng.randbytes(12 * 9 * 3))
    whole = [("picture", encode(image, name, **options)) for name, options in (
        ("PNG", {}), ("JPEG", {"progressive": True}), ("JPEG", {}), ("WEBP", {"lossless": True}), ("WEBP", {"save_all": True, "append_images": [image]}),
        ("GIF", {"save_all": True, "append_images": [image.rotate(90)]}), ("PNG", {"save_all": True, "append_images": [image]}), ("BMP", {}),
        ("MPO", {"save_all": True, "append_images": [image]}), ("TIFF", {}), ("ICO", {}),
    )]  # fmt: skip
    one = image_record(0)
    whole.append(("shard", b"".join(pack_sample(one.key, to_members(one))) + END_OF_ARCHIVE))
    found = Found("cut off at every byte")
    for door, data in whole:
        for end in range(len(data)):
            found.cases += 1
            try:
                if outcome(READERS[door], data[:end]) == "result":
                    found.results += 1
                else:
                    found.typed += 1
            except Exception as error:  # noqa: BLE001
                found.faults.append(f"{door} cut at {end}: {type(error).__name__}: {str(error)[:80]}")
    return found
