"""Splits of the sprite world as records, in an order that mixes the tasks."""

from collections.abc import Iterator, Mapping
from itertools import zip_longest

from urt_core import PreferenceRecord, Task
from urt_data.sprites.pairs import pairs
from urt_data.sprites.world import Split


def build_split(split: Split | str, counts: Mapping[Task | str, int], *, seed: int) -> Iterator[PreferenceRecord]:
    """`counts[task]` pairs of each task, one task after the other in turn.

    build_split("train", {"image_generation": 2000, "video_generation": 2000}, seed=0)
    """
    streams = [pairs(Task(task), number, split=Split(split), seed=seed) for task, number in counts.items()]
    for turn in zip_longest(*streams):
        yield from (record for record in turn if record is not None)
