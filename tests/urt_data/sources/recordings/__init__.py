"""Twenty rows of each published set, made from a seed: its field names and types, our own words and pictures.

    recording = record("hpdv3")
    recording.files        {"train.json": [rows]}, as the fixtures have them
    recording.expected     {(text, what is better, what is worse)}, which the row was made from, not read from it

A tie has None in front of both candidates. A candidate is the names of its media, or the words of an answer.
"""

import random
from collections.abc import Callable
from typing import Any, cast

from tests.urt_data.sources.recordings import answers, images, official, videos
from tests.urt_data.sources.recordings.recording import Recording

RECORDINGS: dict[str, Callable[[Recording], None]] = {
    name: cast("Callable[[Recording], None]", made)
    for module in (images, videos, answers, official)
    for name, made in cast("dict[str, Any]", vars(module)).items()
    if callable(made) and getattr(made, "__module__", "") == module.__name__ and not name.startswith("_")
}
"""Name of a source -> what writes its rows."""


def record(name: str) -> Recording:
    recording = Recording(random.Random(f"recording/{name}"))
    RECORDINGS[name](recording)
    return recording
