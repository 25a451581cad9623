"""What one rank has to know about the others."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import torch
from torch import distributed


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


def any_rank(flag: bool, *, device: torch.device) -> bool:
    """Whether the flag is set on some rank."""
    return all_sum([float(flag)], device=device)[0] > 0


def wait_for_all() -> None:
    if world()[1] > 1:
        distributed.barrier()


def started_first() -> bool:
    """Whether this process is the one that writes files before any process group exists: rank 0 by its environment."""
    return int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))) == 0


def derived_seed(*parts: object) -> int:
    """A seed that is a function of what it is for alone: derived_seed(config.seed, "rollout", 17, rank)."""
    digest = hashlib.sha256(":".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 2
