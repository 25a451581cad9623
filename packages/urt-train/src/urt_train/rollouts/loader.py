"""Records in, micro-batches out, in rounds: a round is a batch of records and the fixed number of micro-batches made of
it.

For fine-tuning a round is one optimizer step; for GRPO it is one rollout, made with the weights as they are when the
loader gets there. Lightning takes micro-batches one by one and never ahead of time, because the loader has a length.
The state counts rounds, so it is exact between two rounds, which is where checkpoints are saved.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from urt_core import PreferenceRecord
from urt_core.errors import DataError
from urt_data import PreferenceStream
from urt_train.model.batching import TokenBatch

Draw = Callable[[], list[PreferenceRecord]]
"""The next records of the stream; a `Drawing` where rounds are begun ahead of their time."""


class Sealed:
    """A batch that Lightning hands on whole: collections and dataclasses it takes apart to convert their tensors."""

    def __init__(self, batch: TokenBatch) -> None:
        self.batch = batch


Item = TypeVar("Item")


@runtime_checkable
class Stream(Protocol[Item]):
    """What a loader draws from: an epoch for each iteration, and a position that can be saved."""

    def __iter__(self) -> Iterator[list[Item]]: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any], /) -> None: ...


class Drawing(Generic[Item]):
    """What a round draws with. One that begins the next round says so with `ahead`, in front of what it draws for it: what
    is saved then has the position in front of these records, because a run that goes on draws them again."""

    def __init__(self, stream: Stream[Item]) -> None:
        self.stream, self.items = stream, _endless(stream)
        self.position: dict[str, Any] | None = None
        """Where the next round begins, if it was begun already."""

    def __call__(self) -> Any:
        """The next batch: records, or what the stream's workers have made of them."""
        return next(self.items)

    def ahead(self) -> None:
        self.position = copy.deepcopy(self.stream.state_dict())


class RoundLoader(Generic[Item]):
    """RoundLoader(stream, make_round, num_rounds=60, batches_per_round=4)

    `make_round(draw, number of the round)` gives its micro-batches.
    """

    def __init__(
        self,
        stream: Stream[Item],
        make_round: Callable[[Callable[[], list[Item]], int], Sequence[TokenBatch]],
        *,
        num_rounds: int,
        batches_per_round: int,
    ) -> None:
        self.stream, self.make_round = stream, make_round
        self.num_rounds, self.batches_per_round = num_rounds, batches_per_round
        self.round = 0
        self.drawing: Drawing[Item] | None = None

    def __len__(self) -> int:
        return self.num_rounds * self.batches_per_round

    def __iter__(self) -> Iterator[Sealed]:
        self.drawing = drawing = Drawing(self.stream)
        while self.round < self.num_rounds:
            drawing.position = None
            batches = self.make_round(drawing, self.round)
            if len(batches) != self.batches_per_round:
                raise DataError(f"round {self.round} has {len(batches)} micro-batches, not {self.batches_per_round}")
            self.round += 1
            yield from map(Sealed, batches)

    def close(self) -> None:
        """Let go of what the stream reads with: its workers would live as long as whoever knows the loader."""
        if self.drawing is not None:
            self.drawing.items.close()

    def state_dict(self) -> dict[str, Any]:
        begun = None if self.drawing is None else self.drawing.position
        return {"round": self.round, "stream": self.stream.state_dict() if begun is None else begun}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.round = state["round"]
        self.stream.load_state_dict(state["stream"])


def rounds_of(stream: PreferenceStream, *, epochs: float, max_rounds: int | None) -> int:
    """Rounds of `epochs` passes, at most `max_rounds`."""
    rounds = math.ceil(epochs * len(stream))
    return rounds if max_rounds is None else min(rounds, max_rounds)


def _endless(stream: Stream[Item]) -> Generator[list[Item]]:
    while True:
        yield from stream
