"""Batches of records in an order that ranks, workers and restarts do not change.

    position 0 1 2 3 4 5 6 7 8 9 …                  the global order, endless, epoch after epoch
    world 1, batches of 4:   rank 0: 0 1 2 3 | 4 5 6 7 | …
    world 2, batches of 2:   rank 0: 0 1 | 4 5 | …      rank 1: 2 3 | 6 7 | …

A stream is a cursor. Iterating goes on from where it stands to the end of the epoch; the state is the position. Every rank has the
same number of batches. The last batch of an epoch may be shorter and is spread evenly over the ranks; where fewer records are left
than there are ranks, they open the next epoch instead. So nothing is lost, repeated or waited for.
"""

from collections.abc import Iterator
from typing import Any

from urt_data.errors import ConfigError, StreamStateError
from urt_data.shards import ShardFolder
from urt_data.stream.batches import EpochBatches, Prepare, ReadBatch, Transform, read_with_workers
from urt_data.stream.mixture import Mixture, as_mixture
from urt_data.stream.order import Order
from urt_data.stream.plan import EpochPlan
from urt_data.stream.quarantine import Quarantine

STATE_VERSION = 1


class PreferenceStream:
    """Iterate over the batches of one epoch: `list[PreferenceRecord]`, or what `transform` makes of each list.

        stream = PreferenceStream(ShardFolder("pairs"), batch_size=32, seed=0, rank=0, world_size=8, num_workers=2)
        for batch in stream: ...                      # the next iteration is the next epoch
        state = stream.state_dict()                   # with any rank's state, any other world continues

    The order is a pure function of (seed, data, position). `prepare` (decoding, of each record) and `transform` (collating, of each batch)
    run in the workers. Without a `quarantine` the first bad sample ends the run; with one, its batch is shorter by it.
    """

    def __init__(
        self,
        source: ShardFolder | Mixture,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        shuffle: bool = True,
        shuffle_window: int = 16384,
        prefetch: int = 2,
        prepare: Prepare | None = None,
        transform: Transform | None = None,
        quarantine: Quarantine | None = None,
    ) -> None:
        """`batch_size` counts records per rank; `shuffle_window` is how many neighbouring records (whole shards) are mixed at a time."""
        self._mixture = as_mixture(source)
        self._check(batch_size=batch_size, rank=rank, world_size=world_size, num_workers=num_workers)
        self._batch_size, self._rank, self._world_size = batch_size, rank, world_size
        self._num_workers, self._prefetch = num_workers, prefetch
        self._seed, self._shuffle, self._shuffle_window = seed, shuffle, shuffle_window
        self._prepare = prepare
        self.transform: Transform | None = transform
        """What is made of the records of each batch, in the workers; may be set until the first iteration."""
        self._quarantine = quarantine
        self._order = Order(
            self._mixture.components, self._mixture.draws, seed=seed, shuffle=shuffle, window=shuffle_window
        )
        self._check_caches()
        self._epoch = 0
        self._position = 0
        self._num_done = 0

    @property
    def epoch(self) -> int:
        """The epoch that the next batch belongs to."""
        return self._epoch

    @property
    def epoch_length(self) -> int:
        """Records per epoch, over all ranks."""
        return self._order.epoch_length

    def __len__(self) -> int:
        """Batches of the current epoch on each rank, those already read included."""
        return self._num_done + self._plan().num_batches

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of `epoch`."""
        self._go_to(epoch, epoch * self.epoch_length, num_done=0)

    def __iter__(self) -> Iterator[Any]:
        batches = self.batches()
        for number, read in enumerate(self._read(batches)):
            if self._quarantine is not None:
                self._quarantine.account(read.outcomes)
            self._advance(batches.plan, number)
            yield read.value

    def batches(self) -> EpochBatches:
        """What is left of the epoch, by number of the batch: a data set for a DataLoader of your own. Does not move the cursor."""
        return EpochBatches(
            plan=self._plan(),
            order=self._order,
            components=self._mixture.components,
            prepare=self._prepare,
            transform=self.transform,
            strict=self._quarantine is None,
        )

    def state_dict(self) -> dict[str, Any]:
        """The cursor. Equal on all ranks, so any one of them is enough to resume any other world."""
        return {**self._identity(), "epoch": self._epoch, "position": self._position, "batches": self._num_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch that was handed out before `state` was taken."""
        for name, value in self._identity().items():
            if state.get(name) != value:
                raise StreamStateError(
                    f"the stream state has {name}={state.get(name)!r}, this stream has {value!r}: it would read another order. "
                    "Build the stream with the same data, seed and shuffling, or start without the state"
                )
        self._go_to(state["epoch"], state["position"], num_done=state["batches"])

    def _identity(self) -> dict[str, Any]:
        return {
            "version": STATE_VERSION,
            "source": self._mixture.fingerprint,
            "epoch_length": self.epoch_length,
            "seed": self._seed,
            "shuffle_window": self._shuffle_window if self._shuffle else None,
        }

    def _read(self, batches: EpochBatches) -> Iterator[ReadBatch]:
        if self._num_workers == 0:
            return map(batches.read, range(len(batches)))
        return read_with_workers(batches, num_workers=self._num_workers, prefetch=self._prefetch)

    def _advance(self, plan: EpochPlan, number: int) -> None:
        """Count batch `number` as read before it is handed out: a state taken while it is in use resumes after it."""
        self._position = plan.after(number)
        self._num_done += 1
        if number == plan.num_batches - 1:
            self._epoch += 1
            self._num_done = 0

    def _go_to(self, epoch: int, position: int, *, num_done: int) -> None:
        if epoch < 0 or not 0 <= position <= (epoch + 1) * self.epoch_length:
            raise StreamStateError(
                f"epoch {epoch} and position {position} do not fit an epoch of {self.epoch_length} records"
            )
        self._epoch, self._position, self._num_done = epoch, position, num_done
        if self._plan().num_batches == 0:
            # A larger world resumes where fewer records are left than it has ranks: they open the next epoch.
            self._epoch, self._num_done = epoch + 1, 0

    def _plan(self) -> EpochPlan:
        return EpochPlan(
            position=self._position,
            stop=(self._epoch + 1) * self.epoch_length,
            batch_size=self._batch_size,
            rank=self._rank,
            world_size=self._world_size,
        )

    def _check(self, *, batch_size: int, rank: int, world_size: int, num_workers: int) -> None:
        if batch_size < 1 or not 0 <= rank < world_size or num_workers < 0:
            raise ConfigError(
                f"batch_size={batch_size}, rank={rank}, world_size={world_size}, num_workers={num_workers}: need batch_size >= 1, "
                "0 <= rank < world_size and num_workers >= 0"
            )
        length = sum(self._mixture.draws)
        if length < world_size:
            raise ConfigError(
                f"{length} records cannot be shared by {world_size} ranks; use at most {length} ranks or more data"
            )

    def _check_caches(self) -> None:
        """A cache smaller than what is read at a time would fetch every shard once per record."""
        for number, component in enumerate(self._mixture.components):
            available = component.folder.cache_bytes
            needed = self._order.window_bytes(number)
            if available is not None and needed > available:
                raise ConfigError(
                    f"reading {component.folder.folder} shuffled takes {needed:,} bytes of shards at a time, its cache holds "
                    f"{available:,}; raise ShardCache.max_bytes (data.cache.gib), make room on its disk, or lower "
                    f"shuffle_window={self._shuffle_window}"
                )
