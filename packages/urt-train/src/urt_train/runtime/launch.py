"""What a launcher says about this process, before torch is imported and any process group exists."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path

from urt_core.process.waiting import settle_waiting


def num_processes() -> int:
    """How many processes torchrun or srun started together; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", "1")))


def num_processes_here() -> int:
    """How many of them run on this node."""
    said = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_NTASKS_PER_NODE") or "1"
    return int(said) if said.isdigit() else 1


def settle_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Say how many threads one process computes with, and how they wait, unless the user has. OpenMP reads it when
    torch is loaded."""
    environment.setdefault("OMP_NUM_THREADS", str(num_threads()))
    settle_waiting(environment)


def num_threads() -> int:
    """This process's share of the cores that it may use: those of its affinity, within the limit of its control
    group."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cgroup_cores()
    return max(1, int(min(cores, limit or cores)) // num_processes_here())


def cgroup_cores(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Cores that the control groups above this process leave it (a container's limit); None without a limit."""
    found = []
    for folder in _groups(root, own):
        try:  # version 2: "150000 100000", microseconds of each period, or "max 100000"
            quota, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            try:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
            except (OSError, ValueError):
                continue
        if quota.isdigit() and period.isdigit() and int(period):
            found.append(int(quota) / int(period))
    return min(found, default=None)


def _groups(root: Path, own: Path) -> list[Path]:
    """The folders of this process's group and of those above it, in both versions of the file system."""
    folders = [root, root / "cpu"]
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        folder = (root / "cpu" if controllers else root) / path.lstrip("/")
        while folder not in folders and folder.is_relative_to(root):
            folders.append(folder)
            folder = folder.parent
    return folders
