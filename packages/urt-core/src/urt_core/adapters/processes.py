"""A trainer's processes: how many there are, how the parts of a group find each other, and samples gathered in the
order of the ranks."""

import hashlib
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def num_processes() -> int:
    """Of this run, as torchrun, accelerate and DeepSpeed say it; 1 where nobody does."""
    distributed = initialised_distributed()
    return distributed.get_world_size() if distributed else int(os.environ.get("WORLD_SIZE") or 1)


def initialised_distributed() -> Any:
    """torch.distributed where a trainer has set it up. Nothing is imported for the question."""
    distributed = sys.modules.get("torch.distributed")
    return distributed if distributed and distributed.is_available() and distributed.is_initialized() else None


class GroupNames:
    """Names for the groups of a reward call that are the same on every process, though none asks another.

    All processes of a run ask their reward once a step, so that the number of the call and the prompt tell the group;
    the address of the run's meeting point tells runs apart that share a judge.

        names = GroupNames(); names.of_call(["a red car", "a red car", "a dog"])    # ["5d2c-0-9f86...", "5d2c-0-9f86...", "5d2c-0-cd63..."]
    """

    def __init__(self) -> None:
        meeting_point = [os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")]
        self._run = digest("|".join(meeting_point))[:8]
        self._num_calls = 0
        self._lock = threading.Lock()  # flow_grpo asks from a pool of threads

    def of_call(self, texts: Sequence[str]) -> list[str]:
        with self._lock:
            number, self._num_calls = self._num_calls, self._num_calls + 1
        return [f"{self._run}-{number}-{digest(text)[:16]}" for text in texts]

    def of_row(self, identity: str) -> str:
        """Where a trainer names the prompt of each sample itself."""
        return f"{self._run}-{digest(identity)[:16]}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


class Meeting:
    """Where the processes of a run exchange what they know, beside the trainer's own collectives and in the order of their calls.

    Its group of processes speaks gloo and is its own, so that a reward that is asked from another thread meets nothing of the trainer's. A
    process that is lost ends the wait with the error of torch.distributed's timeout. Rows are pickled between the processes of the run.

        with meeting.call() as number:
            meeting.wait_for(number)
            everything, start = meeting.gathered(rows)
    """

    def __init__(self) -> None:
        self._turns = threading.Condition()
        self._num_taken = self._num_done = 0
        self._group: Any = None

    @contextmanager
    def call(self) -> Iterator[int]:
        """One call of a reward, from its first line on: its number is its place in the order of the calls, which is the same in all
        processes. What takes a while (pictures to encode) belongs inside, or a later call overtakes it in some of them."""
        with self._turns:
            number, self._num_taken = self._num_taken, self._num_taken + 1
        try:
            yield number
        finally:
            self.wait_for(number)
            with self._turns:
                self._num_done += 1
                self._turns.notify_all()

    def wait_for(self, number: int) -> None:
        """Until all earlier calls are done: processes that meet in another order would mix their samples."""
        with self._turns:
            self._turns.wait_for(lambda: self._num_done == number)

    def gathered(self, rows: Sequence[T]) -> tuple[list[T], int]:
        """The rows of all processes in the order of the ranks, and where this process's own begin; called by every process alike."""
        distributed = initialised_distributed()
        if distributed is None or distributed.get_world_size() == 1:
            return list(rows), 0
        if self._group is None:
            self._group = distributed.new_group(backend="gloo")
        parts: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(parts, list(rows), group=self._group)
        start = sum(map(len, parts[: distributed.get_rank()]))
        return [row for part in parts for row in part], start


def own_share(groups: Sequence[T]) -> list[int]:
    """Which rows this process judges: whole groups, dealt out in turn over the processes."""
    distributed = initialised_distributed()
    rank, size = (distributed.get_rank(), distributed.get_world_size()) if distributed else (0, 1)
    members: defaultdict[T, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    return [index for number, indices in enumerate(members.values()) if number % size == rank for index in indices]
