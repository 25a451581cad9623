"""What one rank has to know about the others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import distributed

from urt_core.errors import UrtError
from urt_train.errors import LostRankError

T = TypeVar("T")


def world() -> tuple[int, int]:
    """(this rank, number of ranks)."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def all_sum(values: Sequence[float], *, device: torch.device) -> list[float]:
    """Each value summed over the ranks."""
    if world()[1] == 1:
        return [float(value) for value in values]
    total = torch.tensor(values, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return total.tolist()


def all_union(values: Iterable[T]) -> set[T]:
    """What any rank has, on every rank. Every rank takes part."""
    everybody: list[Any] = [set(values)]
    if world()[1] > 1:
        everybody = [None] * world()[1]
        distributed.all_gather_object(everybody, set(values))
    return set[T]().union(*everybody)


def any_rank(flag: bool, *, device: torch.device) -> bool:
    """Whether the flag is set on some rank."""
    return all_sum([float(flag)], device=device)[0] > 0


def wait_for_all() -> None:
    if world()[1] > 1:
        distributed.barrier()


@contextmanager
def all_answering(timeout_s: float) -> Iterator[None]:
    """Turns the failure of a collective call, whichever of them it is, into an error that says what it means.

    gloo raises plain RuntimeErrors, which their texts tell apart. NCCL's watchdog ends the process by itself after the
    same time.
    """
    try:
        yield
    except RuntimeError as error:
        is_collective = isinstance(error, distributed.DistError) or "gloo/transport" in str(error)
        if world()[1] == 1 or not is_collective:
            raise
        raise LostRankError(
            f"a process of the run is gone or did not answer within {timeout_s:g} s (trainer.timeout_s); the last checkpoint is good:"
            " look at the log of the other processes, then the same command goes on"
        ) from error


def started_first() -> bool:
    """Whether this process is the one that writes files before any process group exists: rank 0 by its environment."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0


def is_first_here() -> bool:
    """Whether this process is the first of its machine, by its environment."""
    return int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))) == 0


def derived_seed(*parts: object) -> int:
    """A seed that is a function of what it is for alone: derived_seed(config.seed, "rollout", 17, rank)."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 2


def from_first(make: Callable[[], T]) -> T:
    """What the first rank makes, on every rank; what it raises of ours, too. Every rank takes part."""
    if world()[1] == 1:
        return make()
    sent: list[Any] = [None, None]
    if world()[0] == 0:
        try:
            sent = [make(), None]
        except UrtError as error:
            sent = [None, error]
    distributed.broadcast_object_list(sent, src=0)
    result, error = sent
    if error is not None:
        raise error
    return result


def raise_first(error: UrtError | None) -> None:
    """The failure of the first rank that has one, on every rank. Every rank takes part."""
    errors: list[UrtError | None] = [error]
    if world()[1] > 1:
        errors = [None] * world()[1]
        distributed.all_gather_object(errors, error)
    for found in errors:
        if found is not None:
            raise found
