"""One part of a mixture: some of the records of one folder, and the order in which they come."""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from urt_core.records import Preference, PreferenceRecord
from urt_data.errors import SampleError
from urt_data.shards import ShardFolder
from urt_data.shards.summary import UNLABELLED
from urt_data.stream.layout import Layout
from urt_data.stream.permutation import permutation

NO_WINNER = {Preference.TIE: "label is a tie", None: "no label"}
"""Labels that no verdict can meet."""


class Component:
    """The records of `folder` that a selection keeps, counted per shard without reading an index.

    `task` keeps one task; `kept` are the positions to keep among those records, ascending (None: all of them). Records that a repair left
    out keep their places.
    """

    def __init__(
        self,
        folder: ShardFolder,
        *,
        task: str | None = None,
        kept: np.ndarray | None = None,
    ) -> None:
        self.folder = folder
        self.task = task
        self._kept = kept
        self._layout = Layout(folder)
        self._starts = np.concatenate([[0], np.cumsum(self._layout.counts(task), dtype=np.int64)])
        bounds = self._starts if kept is None else np.searchsorted(kept, self._starts)
        self.shard_counts: np.ndarray = np.diff(bounds)
        """Kept records per shard."""
        self._bounds = bounds

    def __len__(self) -> int:
        return int(self._bounds[-1])

    def row(self, shard: int, number: int) -> int:
        """The row in `shard` of its kept record `number`, before any repair."""
        position = int(self._bounds[shard]) + number
        within = (position if self._kept is None else int(self._kept[position])) - int(self._starts[shard])
        return within if self.task is None else int(self._layout.rows_of(shard, self.task)[within])

    def read(self, shard: int, number: int) -> PreferenceRecord | None:
        """The kept record `number` of `shard`; None where a repair left it out."""
        row = self.row(shard, number)
        return None if self._layout.excluded(shard, row) else self._layout.read(shard, row)

    def with_a_winner(self) -> tuple[np.ndarray | None, Counter[str]]:
        """Positions whose label names a winner, ascending (None: all of them), and how many others there are, by reason.

        Labels are read only in shards whose manifest counts ties or unlabelled records; what can't be read is left to whoever reads it.
        """
        left_out: Counter[str] = Counter()
        kept: list[int] = []
        for shard, entry in enumerate(self.folder.shards):
            start, count = int(self._bounds[shard]), int(self.shard_counts[shard])
            undecided = any(entry.preferences.get(str(label or UNLABELLED)) for label in NO_WINNER)
            undecided = undecided or any(excluded.shard == shard for excluded in self.folder.excluded)
            for number in range(count):
                reason = NO_WINNER.get(self._label(shard, number), "") if undecided else ""
                left_out.update([reason] if reason else [])
                kept += [] if reason else [start + number]
        return (np.array(kept, dtype=np.int64) if left_out else None), left_out

    def _label(self, shard: int, number: int) -> Preference | None:
        row = self.row(shard, number)
        if (excluded := self._layout.excluded(shard, row)) is not None:
            unread = str(Preference.FIRST) if excluded.label is None else excluded.label
            return None if unread == UNLABELLED else Preference(unread)
        try:
            return self._layout.read(shard, row).preference
        except SampleError:
            return Preference.FIRST


@dataclass(frozen=True, kw_only=True, slots=True)
class PassOrder:
    """The order of one pass over a component: whole shards in random order, mixed inside windows of a few shards.

    A window is the smallest run of shards with at least `window` records, so reading stays within a few files at a time while neighbours
    in the order come from anywhere in the window. The last one takes what is left when that is less than twice `window`; behind a large
    shard it can be less than `window`. Computing it touches one number per shard, and one per record of the current window.
    """

    shard_order: np.ndarray
    shard_starts: np.ndarray
    """Where each shard of `shard_order` starts in the unmixed pass; one more entry for the end."""
    window_starts: np.ndarray
    """Where each window starts; one more entry for the end."""
    words: tuple[str | int, ...] | None
    """What the permutation inside a window depends on; None keeps the stored order."""

    def locate(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shard and number inside it of the records at `positions` of this pass."""
        unmixed = positions.copy()
        if self.words is not None:
            windows = np.searchsorted(self.window_starts, positions, side="right") - 1
            for window in np.unique(windows):
                start, end = int(self.window_starts[window]), int(self.window_starts[window + 1])
                inside = windows == window
                unmixed[inside] = (
                    start + _window_permutation(end - start, *self.words, int(window))[positions[inside] - start]
                )
        places = np.searchsorted(self.shard_starts, unmixed, side="right") - 1
        return self.shard_order[places], unmixed - self.shard_starts[places]


def pass_order(shard_counts: np.ndarray, *, words: tuple[str | int, ...] | None, window: int) -> PassOrder:
    """The order of the pass that `words` name (seed, component, number of the pass); None reads the shards as they are stored."""
    order = np.arange(len(shard_counts)) if words is None else permutation(len(shard_counts), *words, "shards")
    starts = np.concatenate([[0], np.cumsum(shard_counts[order])])
    return PassOrder(shard_order=order, shard_starts=starts, window_starts=_window_starts(starts, window), words=words)


def _window_starts(shard_starts: np.ndarray, window: int) -> np.ndarray:
    end = int(shard_starts[-1])
    cuts = [0]
    while end - cuts[-1] >= 2 * window:
        cuts.append(int(shard_starts[np.searchsorted(shard_starts, cuts[-1] + window)]))
    return np.array([*cuts, end] if cuts[-1] < end else cuts, dtype=np.int64)


@lru_cache(maxsize=16)
def _window_permutation(length: int, *words: str | int) -> np.ndarray:
    return permutation(length, *words)
