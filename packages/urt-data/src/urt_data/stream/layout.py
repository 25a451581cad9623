"""Where the samples of a folder stand in the order of training: where they stood before it was repaired.

`urt-data repair` leaves samples out and writes down which. Their places stay, empty, so that all others keep theirs, and a
run that began on the damaged folder goes on with the repaired one.
"""

from collections.abc import Mapping

import numpy as np

from urt_core.records import PreferenceRecord
from urt_data.shards import ShardFolder
from urt_data.shards.index import Excluded, add_counts


class Layout:
    """The places of `folder`, by shard and row; of a folder that was never repaired those of its samples."""

    def __init__(self, folder: ShardFolder) -> None:
        self.folder = folder
        self._excluded: dict[int, dict[int, Excluded]] = {}
        for excluded in folder.excluded:
            self._excluded.setdefault(excluded.shard, {})[excluded.row] = excluded

    @property
    def tasks(self) -> Mapping[str, int]:
        """Places by task."""
        return add_counts(self._tasks_of(shard) for shard in range(len(self.folder.shards)))

    def counts(self, task: str | None) -> list[int]:
        """Places of a task (None: all) in each shard."""
        shards = range(len(self.folder.shards))
        if task is None:
            return [self.folder.shards[shard].num_samples + len(self._excluded.get(shard, ())) for shard in shards]
        return [self._tasks_of(shard).get(task, 0) for shard in shards]

    def rows_of(self, shard: int, task: str) -> np.ndarray:
        """The rows of one task in a shard, ascending."""
        index = self.folder.index(shard)
        number = index.task_names.index(task) if task in index.task_names else -1
        kept = self._kept_rows(shard)[np.flatnonzero(index.tasks == number)]
        left_out = [row for row, excluded in self._excluded.get(shard, {}).items() if excluded.task == task]
        return np.sort(np.concatenate([kept, np.array(left_out, dtype=np.int64)]))

    def excluded(self, shard: int, row: int) -> Excluded | None:
        """What stood in a place that is empty; None where there is a sample."""
        return self._excluded.get(shard, {}).get(row)

    def read(self, shard: int, row: int) -> PreferenceRecord:
        """The record of a place that is not empty."""
        return self.folder.read(shard, row - sum(other < row for other in self._excluded.get(shard, ())))

    def _tasks_of(self, shard: int) -> dict[str, int]:
        left_out = ({excluded.task: 1} for excluded in self._excluded.get(shard, {}).values())
        return add_counts([self.folder.shards[shard].tasks, *left_out])

    def _kept_rows(self, shard: int) -> np.ndarray:
        number = self.folder.shards[shard].num_samples
        left_out = list(self._excluded.get(shard, ()))
        return np.delete(np.arange(number + len(left_out)), left_out)
