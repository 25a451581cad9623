"""Let tiny runs meet a full disk, a process that hangs, a weight that is no number or a signal, and resume them.

python tests/urt_train/fault_runs.py <full_disk|hung_rank|nan_and_sigterm> <model folder> <shards> <empty folder>

One process imports everything once; each run is a fork of it that ends as a program does. What failed is asserted here.
"""

import argparse
import os
import re
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.urt_train.kill_runs import import_all, outcome, tiny
from urt_train.cli import exit_on_error
from urt_train.config import TrainConfig
from urt_train.experiment import run
from urt_train.experiment.run import run_stage
from urt_train.runtime.callbacks import StepMetrics
from urt_train.runtime.checkpoint import is_complete
from urt_train.stages.module import StageModule

SECONDS = 4.0
"""How long a rank waits for the other one."""
DDP = {"_target_": "lightning.pytorch.strategies.DDPStrategy", "process_group_backend": "gloo"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fault", choices=["full_disk", "hung_rank", "nan_and_sigterm"])
    for name in ("model", "shards", "output"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a fork has no other threads
    import_all(tiny(arguments, "cold_start", "imports"))
    {"full_disk": full_disk, "hung_rank": hung_rank, "nan_and_sigterm": nan_and_sigterm}[arguments.fault](arguments)
    print("as it should be")


def full_disk(arguments: argparse.Namespace) -> None:
    """One run of six steps whose disk is full four times: writing a metric, two checkpoints, the judge. Saved every two steps."""
    straight, config = (tiny(arguments, "cold_start", name) for name in ("straight", "full"))
    assert ended(start(straight))[0] == 0
    metrics, checkpoints = config.stage_dir() / "metrics.csv", config.stage_dir() / "checkpoints"
    faults: list[tuple[Path, Callable[[], None], list[str]]] = [
        # The second row fits by its first nine bytes.
        (metrics, lambda: after_step(1, lambda _: fill(metrics.stat().st_size + 9)), []),
        (checkpoints / "step_00000004", lambda: after_step(3, lambda _: fill(50_000)), ["step_00000002"]),
        (checkpoints / "step_00000006", lambda: after_step(5, lambda _: fill(50_000)), ["step_00000004"]),
        (config.stage_dir() / "model", lambda: before_export(lambda: fill(50_000)), ["step_00000006"]),
    ]
    for place, before, saved in faults:
        code, said = ended(start(config, before=before))
        assert code == 1, said
        assert re.fullmatch(
            rf"error: {place} can't be written \(.+\).*[Mm]ake room in .*the same command goes on\n", said
        ), said
        check_checkpoints(config, saved)
    assert ended(start(config))[0] == 0
    assert outcome(config) == outcome(straight), "resumed four times, it is the straight run, bit for bit"


def hung_rank(arguments: argparse.Namespace) -> None:
    """The second of two processes stops at the third step, after the checkpoint of the second."""
    config = tiny(arguments, "cold_start", "hung")
    config = replace(config, strategy=DDP, trainer=replace(config.trainer, devices="2", timeout_s=SECONDS))
    first, second = start_ranks(config, before=lambda: after_step(3, lambda _: os.kill(os.getpid(), signal.SIGSTOP)))
    code, said = ended(first)
    os.kill(second[0], signal.SIGKILL)
    assert ended(second)[0] == -signal.SIGKILL
    assert code == 1, said
    assert re.search(
        r"^error: a process of the run is gone or did not answer within 4 s \(trainer\.timeout_s\);", said, re.M
    )
    check_checkpoints(config, ["step_00000002"])
    patient = replace(config, trainer=replace(config.trainer, timeout_s=60.0))
    for rank in start_ranks(patient):
        code, said = ended(rank)
        assert code == 0, said
    assert (config.stage_dir() / "model" / "judge.json").exists()


def nan_and_sigterm(arguments: argparse.Namespace) -> None:
    """A weight becomes NaN behind the third step; resumed from the second, the run is asked to stop behind the fifth."""
    config = tiny(arguments, "cold_start", "stopped")
    code, said = ended(start(config, before=lambda: after_step(3, spoil)))
    assert code == 1, said
    assert re.fullmatch(
        r"error: the loss is nan in optimizer step 4; nothing was updated\..*cold_start\.learning_rate\n", said
    )
    check_checkpoints(config, ["step_00000002"])
    code, said = ended(start(config, before=lambda: after_step(5, lambda _: os.kill(os.getpid(), signal.SIGTERM))))
    assert code == 143, said
    assert "error: stopped after step 5 of 6, saved in" in said
    check_checkpoints(config, ["step_00000005"])
    assert ended(start(config))[0] == 0
    assert (config.stage_dir() / "model" / "judge.json").exists()


def spoil(module: StageModule) -> None:
    with torch.no_grad():
        next(module.policy.model.parameters()).fill_(float("nan"))


Process = tuple[int, Path]
"""A child and the file of its standard error."""


def start(config: TrainConfig, *, before: Callable[[], None] = lambda: None, rank: int = 0) -> Process:
    log = config.output_dir.parent / f"{config.recipe}_{rank}.log"
    child = os.fork()
    if not child:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, sys.stderr.fileno())
        before()
        exit_on_error(lambda: run_stage(config))
        sys.exit(0)
    return child, log


def start_ranks(config: TrainConfig, *, before: Callable[[], None] = lambda: None) -> tuple[Process, Process]:
    """Two processes as torchrun starts them; `before` is for the second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
    os.environ |= {"RANK": "0", "LOCAL_RANK": "0"}
    first = start(config)
    os.environ |= {"RANK": "1", "LOCAL_RANK": "1"}
    return first, start(config, before=before, rank=1)


def ended(process: Process) -> tuple[int, str]:
    """Exit status (minus the signal's number) and what it said."""
    code = os.waitstatus_to_exitcode(os.waitpid(process[0], 0)[1])
    return code, process[1].read_text()


def before_export(do: Callable[[], object]) -> None:
    export = run.export_judge

    def exported(*args: Any, **kwargs: Any) -> Any:
        do()
        return export(*args, **kwargs)

    run.export_judge = exported


def after_step(step: int, act: Callable[[StageModule], object]) -> None:
    """In this process: act on the module when the metrics of that step are written."""
    original = StepMetrics.on_train_batch_end

    def on_train_batch_end(self, trainer, module, *arguments, **settings):
        original(self, trainer, module, *arguments, **settings)
        if trainer.global_step == step:
            act(module)

    StepMetrics.on_train_batch_end = on_train_batch_end


def fill(limit: int) -> None:
    """No file of this process grows beyond the limit from now on, which the kernel refuses as it does for want of space."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def check_checkpoints(config: TrainConfig, names: list[str]) -> None:
    """These and no others, all complete, and nothing half-written beside them."""
    folder = config.stage_dir() / "checkpoints"
    found = sorted(folder.iterdir()) if folder.exists() else []
    assert [path.name for path in found] == names
    assert all(is_complete(path) for path in found)
    assert not list(config.stage_dir().glob("**/*.partial"))


if __name__ == "__main__":
    main()
