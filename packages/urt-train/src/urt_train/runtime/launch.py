"""What a launcher says about this process, before torch is imported and any process group exists."""

from __future__ import annotations

import os


def num_processes() -> int:
    """How many processes torchrun or srun started together; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get("SLURM_STEP_NUM_TASKS", "1")))
