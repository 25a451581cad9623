"""The order of everything: which record stands at each position of an endless sequence of epochs.

    position -> epoch, place in it -> component and its how-manieth draw -> pass over the component, place in it -> shard, row

Each arrow is arithmetic or a small permutation, so any position costs the same to find: nothing is skipped on resume,
and no list of the records exists. The order depends on (seed, data, position) and on nothing else: ranks and workers
only choose which positions they read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from urt_data.stream.component import Component, PassOrder, pass_order
from urt_data.stream.permutation import permutation

CHUNK = 1024
"""Places of an epoch that are resolved together; inside a chunk components are mixed at random, in their exact
shares."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one record lies.  Place(component=0, shard=17, number=203)"""

    component: int
    shard: int
    number: int
    """Position among the kept records of the shard."""


class Order:
    """The places of all positions. `draws[c]` records of component `c` make up an epoch."""

    def __init__(
        self,
        components: Sequence[Component],
        draws: Sequence[int],
        *,
        seed: int,
        shuffle: bool = True,
        window: int = 16384,
    ) -> None:
        self._components = tuple(components)
        self._draws = tuple(draws)
        self._seed = seed
        self._shuffle = shuffle
        self._window = window
        self.epoch_length: int = sum(draws)
        self._chunk = lru_cache(maxsize=4)(self._resolve_chunk)
        self._pass = lru_cache(maxsize=4 * len(self._components))(self._pass_order)

    def __getstate__(self) -> dict:
        # Caches are rebuilt in a worker process.
        return {
            "components": self._components,
            "draws": self._draws,
            "seed": self._seed,
            "shuffle": self._shuffle,
            "window": self._window,
        }

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)

    def places(self, start: int, stop: int) -> list[Place]:
        """The places at positions `start` to `stop` of the endless sequence."""
        places = []
        position = start
        while position < stop:
            epoch, within = divmod(position, self.epoch_length)
            chunk, offset = divmod(within, CHUNK)
            resolved = self._chunk(epoch, chunk)
            taken = resolved[offset : offset + stop - position]
            places += [Place(component=int(c), shard=int(s), number=int(n)) for c, s, n in taken]
            position += len(taken)
        return places

    def window_bytes(self, component: int) -> int:
        """Bytes of the shards that the largest window of a component's first pass reads at one time."""
        order = self._pass(component, 0)
        sizes = np.array([shard.num_bytes for shard in self._components[component].folder.shards])[order.shard_order]
        if not self._shuffle:
            return int(sizes.max())
        first = np.searchsorted(order.shard_starts, order.window_starts[:-1], side="right") - 1
        last = np.searchsorted(order.shard_starts, order.window_starts[1:], side="left")
        return max(int(sizes[start:stop].sum()) for start, stop in zip(first, last, strict=True))

    def _resolve_chunk(self, epoch: int, chunk: int) -> np.ndarray:
        """Component, shard and number of each place in one chunk of an epoch, `[place, 3]`."""
        start = chunk * CHUNK
        stop = min(start + CHUNK, self.epoch_length)
        before, after = split_evenly(self._draws, start), split_evenly(self._draws, stop)
        owners = np.repeat(np.arange(len(self._draws)), np.subtract(after, before))
        if self._shuffle:
            owners = owners[permutation(len(owners), self._seed, "interleave", epoch, chunk)]
        resolved = np.empty((len(owners), 3), dtype=np.int64)
        for component in np.unique(owners):
            mine = np.flatnonzero(owners == component)
            first = epoch * self._draws[component] + before[component]
            resolved[mine, 0] = component
            resolved[mine, 1], resolved[mine, 2] = self._locate(int(component), np.arange(first, first + len(mine)))
        return resolved

    def _locate(self, component: int, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        size = len(self._components[component])
        shards, numbers = np.empty_like(draws), np.empty_like(draws)
        passes = draws // size
        for number in np.unique(passes):
            mine = passes == number
            shards[mine], numbers[mine] = self._pass(component, int(number)).locate(draws[mine] % size)
        return shards, numbers

    def _pass_order(self, component: int, number: int) -> PassOrder:
        words = (self._seed, component, number) if self._shuffle else None
        return pass_order(self._components[component].shard_counts, words=words, window=self._window)


def split_evenly(draws: Sequence[int], position: int) -> list[int]:
    """How many of the first `position` places of an epoch belong to each component.

    The components share every stretch of the epoch in the proportion of their `draws`, up to rounding: the first takes
    its share of the places, the second its share of what is left, and so on. Each count never falls when `position`
    grows, and at the end it is `draws`.

    >>> [split_evenly((6, 3, 1), position) for position in (0, 5, 10)]
    [[0, 0, 0], [3, 1, 1], [6, 3, 1]]
    """
    counts = []
    left, total = position, sum(draws)
    for draw in draws:
        count = left * draw // total if total else 0
        counts.append(count)
        left -= count
        total -= draw
    return counts
