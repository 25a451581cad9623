"""Positions -> records: what runs in the training process, or in its data workers."""

import ctypes
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from urt_core.errors import UrtError
from urt_core.process.lifetime import end_with_parent
from urt_core.records import PreferenceRecord
from urt_data.errors import ConfigError, QuarantineError, SampleError
from urt_data.stream.component import Component
from urt_data.stream.order import Order, Place
from urt_data.stream.plan import EpochPlan
from urt_data.stream.quarantine import BadSample

MAX_STAND_INS = 1000
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""
LARGEST_IN_HEAP = 32 << 20
"""Bytes of a block above which it is mapped on its own; glibc allows no more."""
KEPT_BYTES = 128 << 20
Prepare = Callable[[PreferenceRecord], PreferenceRecord]
"""What a record goes through before it counts as read, such as decoding: a UrtError that it raises is that record's fault."""
Transform = Callable[[list[PreferenceRecord]], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadBatch:
    """A batch and how reading it went.  ReadBatch(value=[record, record], outcomes=(None, BadSample(...), None))"""

    value: Any
    """The records, or what the transform made of them."""
    outcomes: tuple[BadSample | None, ...]
    """One per sample tried, in order: None where it was read."""


class EpochBatches(Sequence[Any]):
    """The batches of one rank and epoch by number: a map-style data set.

    `DataLoader(stream.batches(), batch_size=None, num_workers=4)` reads them in order with worker processes.
    """

    def __init__(
        self,
        *,
        plan: EpochPlan,
        order: Order,
        components: tuple[Component, ...],
        prepare: Prepare | None,
        transform: Transform | None,
        strict: bool,
    ) -> None:
        self.plan = plan
        self._order = order
        self._components = components
        self._prepare = prepare
        self._transform = transform
        self._strict = strict

    def __len__(self) -> int:
        return self.plan.num_batches

    def __getitem__(self, batch: Any) -> Any:
        if not 0 <= batch < len(self):
            raise IndexError(f"batch {batch} of {len(self)}")
        return self.read(batch).value

    def read(self, batch: int) -> ReadBatch:
        start, stop = self.plan.span(batch)
        records: list[PreferenceRecord] = []
        outcomes: list[BadSample | None] = []
        for position, place in enumerate(self._order.places(start, stop), start):
            self._try(position, place, records, outcomes)
        while not records:
            # Another rank has a batch at this step, so this one must have one too: the next readable record stands in.
            self._try(stop, self._order.places(stop, stop + 1)[0], records, outcomes)
            stop += 1
            if stop - start > MAX_STAND_INS:
                last = f": {outcomes[-1]}" if outcomes else ", a repair left all of them out"
                raise QuarantineError(f"no readable sample among {MAX_STAND_INS} from position {start:,}{last}")
        return ReadBatch(value=self._transform(records) if self._transform else records, outcomes=tuple(outcomes))

    def _try(
        self, position: int, place: Place, records: list[PreferenceRecord], outcomes: list[BadSample | None]
    ) -> None:
        try:
            record = self._read(self._components[place.component], place)
        except SampleError as error:
            if self._strict:
                raise
            outcomes.append(BadSample(position=position, shard=error.shard, key=error.key, reason=error.reason))
        else:
            if record is not None:
                records.append(record)
                outcomes.append(None)

    def _read(self, component: Component, place: Place) -> PreferenceRecord | None:
        record = component.read(place.shard, place.number)
        if self._prepare is None or record is None:
            return record
        try:
            return self._prepare(record)
        except UrtError as error:
            folder = component.folder
            shard = f"{folder.folder}/{folder.shards[place.shard].name}"
            raise SampleError(shard=shard, key=record.key, reason=str(error)) from error


class WorkerView(Sequence[Any]):
    """What worker processes serve: outcomes travel with the batch, and errors as values, so that they arrive with their own type."""

    def __init__(self, batches: EpochBatches) -> None:
        self._batches = batches

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, batch: Any) -> Any:
        try:
            return self._batches.read(batch)
        except UrtError as error:
            return error


def read_with_workers(batches: EpochBatches, *, num_workers: int, prefetch: int) -> Iterator[ReadBatch]:
    """Read in order, `prefetch` batches ahead in each of `num_workers` processes of a torch DataLoader."""
    try:
        import torch
    except ImportError as error:
        raise ConfigError(
            "num_workers > 0 needs torch: pip install 'urt-data[workers]', or read with num_workers=0"
        ) from error
    loader = torch.utils.data.DataLoader(
        WorkerView(batches),  # type: ignore[arg-type]  # a Sequence is all that a map-style data set needs
        batch_size=None,
        collate_fn=_unchanged,
        num_workers=num_workers,
        prefetch_factor=prefetch,
        worker_init_fn=_begin_worker,
        # A generator of its own: by default the loader draws from torch's global one and would change what the model samples.
        generator=torch.Generator(),
    )
    for read in loader:
        if isinstance(read, UrtError):
            raise read
        yield read


def _begin_worker(worker: int) -> None:
    end_with_parent()  # else it would wait for ever for somebody to read what it has sent
    keep_freed_memory()


def keep_freed_memory() -> None:
    """glibc gives the memory of a picture back to the kernel when it is let go, and has each page of the next one cleared
    again: a third of the time of two workers that decode. From now on this process keeps up to KEPT_BYTES (mallopt(3))."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None
    if mallopt is not None:  # musl has none
        mallopt(M_MMAP_THRESHOLD, LARGEST_IN_HEAP)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _unchanged(value: Any) -> Any:
    return value
