"""What a folder of shards holds, in numbers: from the manifest at once, and from a sample of records for what it does not say."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from urt_core.records import Media, PreferenceRecord
from urt_data.shards import ShardFolder
from urt_data.stream.permutation import permutation


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantiles:
    """Quantiles(name="caption words", low=3, median=11, high=42)   the 5 %, 50 % and 95 % quantile over the records that were read"""

    name: str
    low: float
    median: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderStatistics:
    """FolderStatistics(num_samples=12000, num_shards=12, num_bytes=..., tasks={...}, preferences={...}, provenance=[...],
    num_read=1000, quantiles=[Quantiles(...)])"""

    num_samples: int
    num_shards: int
    num_bytes: int
    tasks: dict[str, int]
    preferences: dict[str, int]
    provenance: list[dict[str, Any]]
    num_read: int
    quantiles: list[Quantiles]


MEASURES: dict[str, Callable[[PreferenceRecord], float]] = {
    "words of text": lambda record: len(record.text.split()),
    "words of completion": lambda record: len((record.completion or "").split()),
    "media files": lambda record: sum(len(media.files) for media in media_of(record)),
    "media kilobytes": lambda record: sum(len(data) for media in media_of(record) for data in media.data) / 1000,
}


def statistics(folder: ShardFolder, *, num_read: int = 1000, seed: int = 0) -> FolderStatistics:
    """Counts of the whole folder, and quantiles over `num_read` records drawn by `seed`."""
    manifest = folder.manifest
    positions = np.sort(permutation(len(folder), seed, "statistics")[:num_read])
    rows = [
        [measure(record) for measure in MEASURES.values()] for record in map(folder.__getitem__, positions.tolist())
    ]
    columns = np.array(rows).reshape(len(rows), len(MEASURES)).T
    return FolderStatistics(
        num_samples=manifest["num_samples"],
        num_shards=len(manifest["shards"]),
        num_bytes=manifest["num_bytes"],
        tasks=manifest["tasks"],
        preferences=manifest["preferences"],
        provenance=manifest["provenance"],
        num_read=len(rows),
        quantiles=[_quantiles(name, column) for name, column in zip(MEASURES, columns, strict=True)] if rows else [],
    )


def media_of(record: PreferenceRecord) -> Iterable[Media]:
    return (value for value in (record.first, record.second, record.media, record.source) if isinstance(value, Media))


def _quantiles(name: str, values: np.ndarray) -> Quantiles:
    low, median, high = np.quantile(values, [0.05, 0.5, 0.95]).tolist()
    return Quantiles(name=name, low=low, median=median, high=high)
