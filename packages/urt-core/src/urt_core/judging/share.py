"""Who judges what: work is cut into blocks, and each process takes every N-th of them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from urt_core.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One process among several that judge the same records: Share(rank=1, num=3)"""

    rank: int = 0
    num: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.num:
            raise ConfigError(
                f"share is {self.rank} of {self.num}; ranks go from 0 to one less than the number of processes"
            )

    @classmethod
    def from_environment(cls) -> "Share":
        """As torchrun says it (RANK and WORLD_SIZE); everything where nothing does."""
        return cls(rank=int(os.environ.get("RANK", 0)), num=int(os.environ.get("WORLD_SIZE", 1)))

    def blocks(self, items: Iterable[T], size: int) -> Iterator[list[T]]:
        """This process's blocks of `size` items. Their borders depend on nothing but the items, so that what is judged
        together does not change with the number of processes. Of a sequence only its own items are read."""
        if isinstance(items, Sequence):
            for start in range(self.rank * size, len(items), self.num * size):
                yield [items[place] for place in range(start, min(start + size, len(items)))]
            return
        iterator, number = iter(items), 0
        while block := list(islice(iterator, size)):
            if number % self.num == self.rank:
                yield block
            number += 1
