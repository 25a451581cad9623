"""Some of the records of a folder of shards, chosen from its side indexes: no record is read before it is used."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import accumulate
from typing import Any

from urt_core import PreferenceRecord, Task
from urt_core.errors import DataError
from urt_data.shards import ShardFolder


class SelectedRecords(Sequence[PreferenceRecord]):
    """Records of `source` at `places` (shard, row), each read when it is asked for."""

    def __init__(self, source: ShardFolder, places: Sequence[tuple[int, int]]) -> None:
        self.source = source
        self.places = places

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return SelectedRecords(self.source, self.places[position])
        return self.source.read(*self.places[position])

    def grouped_by_task(self) -> SelectedRecords:
        """One task after the other: prompts of one task are about equally long, so a batch of them wastes little on
        padding."""

        def task_of(place: tuple[int, int]) -> str:
            index = self.source.index(place[0])
            return index.task_names[index.tasks[place[1]]]

        return SelectedRecords(
            self.source, sorted(self.places, key=lambda place: list(Task).index(Task(task_of(place))))
        )


class JoinedRecords(Sequence[PreferenceRecord]):
    """Several sequences one behind the other, each record read when it is asked for."""

    def __init__(self, parts: Sequence[Sequence[PreferenceRecord]]) -> None:
        self.parts = parts
        self.ends = list(accumulate(map(len, parts)))

    def __len__(self) -> int:
        return self.ends[-1] if self.ends else 0

    def __getitem__(self, position: Any) -> Any:
        if isinstance(position, slice):
            return [self[place] for place in range(*position.indices(len(self)))]
        place = range(len(self))[position]
        part = bisect_right(self.ends, place)
        return self.parts[part][place - (self.ends[part - 1] if part else 0)]


def select_tasks(
    source: ShardFolder,
    *,
    tasks: Iterable[str],
    per_task: int | None = None,
    where: Callable[[int, int], bool] = lambda shard, row: True,
) -> SelectedRecords:
    """The first `per_task` records of each of `tasks` (all of them where it is None) that pass `where`, in the order of
    the folder."""
    wanted = set(map(str, tasks))
    taken: Counter[str] = Counter()
    places = []
    for shard in range(len(source.shards)):
        index = source.index(shard)
        for row, number in enumerate(index.tasks):
            task = index.task_names[number]
            if task in wanted and (per_task is None or taken[task] < per_task) and where(shard, row):
                taken[task] += 1
                places.append((shard, row))
    if not wanted & set(source.manifest["tasks"]):
        present = ", ".join(source.manifest["tasks"]) or "nothing"
        raise DataError(f"{source.folder} holds no record of {', '.join(sorted(wanted))}; it holds: {present}")
    return SelectedRecords(source, places)


def records_by_key(source: ShardFolder, keys: Collection[str]) -> dict[str, PreferenceRecord]:
    """The records with these keys; a key that the folder lacks is an error."""
    found = {
        key: source.read(shard, row)
        for shard in range(len(source.shards))
        for row, key in enumerate(source.index(shard).keys)
        if key in keys
    }
    if missing := sorted(set(keys) - set(found)):
        raise DataError(
            f"{source.folder} has no record {missing[0]!r} ({len(missing)} missing); it is not the judged data"
        )
    return found
