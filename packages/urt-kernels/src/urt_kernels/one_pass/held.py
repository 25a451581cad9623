"""How this process holds the head's weight: what the one pass asks of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from urt_kernels.linear_logprobs.running import RowStatistics

WHOLE = ""
"""The kind of a weight that this process has to itself."""


class SpreadWeight(NamedTuple):
    """A weight as a caller hands it over, with who holds the rest of it, in the terms of an op.

    >>> SpreadWeight(own, kind="vocabulary", vocabulary=151936, block=0, group=group.group_name)
    """

    own: Tensor
    """What this process has of it."""
    kind: str
    """WHOLE, "vocabulary" (a part on each rank, the same rows on all), "shards" (gathered, rows of each rank's own) or
    "low rank" (an adapter beside it, block by block)."""
    vocabulary: int
    """Columns of the whole head."""
    block: int
    """Columns that are gathered at once."""
    group: str
    """The name that torch.distributed knows the process group by."""


@runtime_checkable
class Held(Protocol):
    """A ``[V, H]`` weight as far as this process computes with it.

    Where several processes hold it, each calls the same methods in the same order.
    """

    vocabulary: int
    """Columns that this process's parts cover."""
    widest: int
    """The most that they cover on any process: rows are cut by it, so that all cut alike."""

    columns: slice
    """Of the head, that `parts` begins to count at."""

    def parts(self, *, learns: bool = False) -> Iterator[tuple[int, Tensor]]:
        """The first column of each part and its rows of the weight. With ``learns``, `add` is called for each."""
        ...

    def add(self, gradient: Tensor, chunk: Tensor) -> None:
        """``gradient [n, columns]`` by the logits of the part that `parts` gave last, for ``chunk [n, H]``."""
        ...

    def add_sum(self, gradient: Tensor) -> None:
        """The same as `add` of a gradient ``[columns, H]`` that is summed over the rows."""
        ...

    def gradient(self, own: Tensor) -> Tensor:
        """Of the tensor behind the weight; ``own`` is what this process summed by itself."""
        ...

    def whole_bias(self, own: Tensor) -> Tensor:
        """A bias over ``columns`` from what this process holds of it."""
        ...

    def bias_gradient(self, own: Tensor) -> Tensor:
        """Of what this process holds, from that of this process's rows over ``columns``."""
        ...

    @property
    def sums_here(self) -> bool:
        """Whether this process sums the weight's gradient by itself, and `add` does nothing."""
        ...

    def most_chunks(self, own: int | None) -> int | None:
        """Chunks of rows of the process that has most; None where one of them can't cut its rows into chunks."""
        ...

    def idle(self, *, differentiates: bool, learns: bool) -> None:
        """Take part in a chunk of others."""
        ...

    def whole_rows(self, own: RowStatistics, targets: Tensor) -> RowStatistics:
        """Statistics over the whole vocabulary from those over ``vocabulary`` columns."""
        ...

    def sum_(self, hidden_gradient: Tensor) -> None:
        """That over this process's columns becomes that over all, in place."""
        ...


class HeldWhole:
    """Nobody else has a part in it: HeldWhole(weight)"""

    sums_here = True

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self.vocabulary = self.widest = len(weight)
        self.columns = slice(0, len(weight))

    def parts(self, *, learns: bool = False) -> Iterator[tuple[int, Tensor]]:
        yield 0, self.weight

    def add(self, gradient: Tensor, chunk: Tensor) -> None:
        pass

    def add_sum(self, gradient: Tensor) -> None:
        pass

    def gradient(self, own: Tensor) -> Tensor:
        return own

    def whole_bias(self, own: Tensor) -> Tensor:
        return own

    def bias_gradient(self, own: Tensor) -> Tensor:
        return own

    def most_chunks(self, own: int | None) -> int | None:
        return own

    def idle(self, *, differentiates: bool, learns: bool) -> None:
        pass

    def whole_rows(self, own: RowStatistics, targets: Tensor) -> RowStatistics:
        return own

    def sum_(self, hidden_gradient: Tensor) -> None:
        pass
