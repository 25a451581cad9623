"""Let tiny runs meet a full disk, a process that hangs, a weight that is no number or a signal, and resume them.

echo full_disk | python tests/urt_train/fault_runs.py <model folder> <shards> <empty folder>

One process imports everything once; each fault, a line of standard input, has a fork of it, and each run a fork of that
which ends as a program does. What failed is asserted here.
"""

import argparse
import errno
import os
import re
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.meeting import meeting
from tests.urt_train.kill_runs import DDP, before_durable, import_all, judge_by_keys, of_form, outcome, tiny
from urt_train.cli import exit_on_error
from urt_train.config import TrainConfig
from urt_train.experiment import run
from urt_train.experiment.run import run_stage
from urt_train.runtime.callbacks import StepMetrics, read_rows
from urt_train.runtime.checkpoints.checkpoint import is_complete
from urt_train.stages.module import StageModule

SECONDS = 4.0
"""How long a rank waits for the other one."""


FSDP2 = {
    "_target_": "lightning.pytorch.strategies.ModelParallelStrategy",
    "process_group_backend": "gloo",
    "data_parallel_size": "auto",
    "tensor_parallel_size": 1,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "shards", "output"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # a fork has no other threads
    import_all(tiny(arguments, "cold_start", "imports"))
    for line in sys.stdin:
        fault = line.strip()
        child = os.fork()
        if not child:
            FAULTS[fault](arguments)
            sys.exit(0)
        failed = os.waitpid(child, 0)[1]
        print(f"{fault}: {'not ' if failed else ''}as it should be", flush=True)


def full_disk(arguments: argparse.Namespace) -> None:
    """One run of six steps whose disk is full four times: writing a metric, two checkpoints, the judge. Saved every two steps."""
    straight, config = (tiny(arguments, "cold_start", name) for name in ("straight", "full"))
    for each in (straight, config):
        each.data.workers = 0  # the limit that stands for a full disk would hold for the memory they share, too
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


def full_anywhere(arguments: argparse.Namespace) -> None:
    """Rejection sampling whose disk is full at one of the calls that make something durable: the run's own files, the
    journal and the shards of the pool, checkpoints, the judge. Each time one line, and at the end the straight run."""
    straight, config = (of_form(arguments, "rejection_sampling", name) for name in ("straight_pool", "full_pool"))
    assert ended(start(straight, before=judge_by_keys))[0] == 0
    for fatal in (1, 4, 9, 14, 20, 27, 35):

        def full_at(fatal: int = fatal) -> None:
            judge_by_keys()
            before_durable(lambda number: fail_for_want_of_space() if number == fatal else None)

        code, said = ended(start(config, before=full_at))
        if code:  # else the run has no such call left
            assert code == 1, said
            said = " ".join(said.split())
            assert re.search(r"error: .*No space left on device.*[Mm]ake room", said), said
            assert "Traceback" not in said, said
        assert not list(config.stage_dir().glob("**/step_*.partial")) or code
    assert ended(start(config, before=judge_by_keys))[0] == 0
    assert outcome(config) == outcome(straight), "stopped where the disk was full, it is the straight run, bit for bit"


def fail_for_want_of_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


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


def two_runs(arguments: argparse.Namespace) -> None:
    """A second process comes to the folder of one that trains; then the first is killed, and a third takes over."""
    config = tiny(arguments, "cold_start", "shared")
    first = start(config, before=lambda: after_step(3, lambda _: os.kill(os.getpid(), signal.SIGSTOP)))
    os.waitid(os.P_PID, first[0], os.WSTOPPED)
    code, said = ended(start(config, rank=2))
    assert code == 1, said
    assert re.fullmatch(
        rf"error: \S+shared/cold_start is in use by process {first[0]} on \S+; .*output_root.*\n", said
    ), said
    os.kill(first[0], signal.SIGKILL)
    assert ended(first)[0] == -signal.SIGKILL
    code, said = ended(start(config, rank=2))
    assert code == 0, said
    assert f"left behind by process {first[0]}" in " ".join(said.split())
    assert [row["step"] for row in read_rows(config.stage_dir() / "metrics.csv")] == [1, 2, 3, 4, 5, 6]


def ranks_apart(arguments: argparse.Namespace) -> None:
    """Two nodes that do not share the output folder, and two ranks with different commands, are refused before the first step."""
    nodes = [arguments.output / f"node_{number}" for number in range(2)]
    for node in nodes:
        node.mkdir()
    os.chdir(nodes[0])
    config = tiny(arguments, "cold_start", "apart")
    config = replace(
        config, output_root="out", strategy=DDP, trainer=replace(config.trainer, devices="2", timeout_s=SECONDS)
    )
    config.output_dir.parent.mkdir()
    for rank in start_ranks(config, before=lambda: os.chdir(nodes[1])):
        code, said = ended(rank)
        assert code == 2, said
        assert re.search(
            rf"error: {nodes[1]}/out/apart/cold_start on \S+ \(rank 1\) is not the folder that rank 0 writes: set", said
        ), said
    assert not [path for node in nodes for path in node.glob("**/*") if path.name in ("checkpoints", "metrics.csv")]
    other = replace(config, cold_start=replace(config.cold_start, learning_rate=5e-4))
    for rank in start_ranks(config, second=other):
        code, said = ended(rank)
        assert code == 2, said
        assert re.search(
            r"error: rank 1 on \S+ has cold_start\.learning_rate 0\.0005, rank 0 on \S+ has 0\.001; start all ranks with the same",
            said,
        ), said


def resized(arguments: argparse.Namespace) -> None:
    """A run of one process goes on with two, if that is said, and with one again: the loss of the straight run, up to rounding."""
    straight, config = (tiny(arguments, "cold_start", name) for name in ("straight_1", "resized"))
    assert ended(start(straight))[0] == 0
    stop = lambda: after_step(2, lambda _: os.kill(os.getpid(), signal.SIGTERM))  # noqa: E731
    assert ended(start(config, before=stop))[0] == 143
    for strategy in (DDP, FSDP2):
        several = replace(config, strategy=strategy, trainer=replace(config.trainer, devices="2", timeout_s=60.0))
        changes = ["processes", *(f"strategy.{name}" for name in {**DDP, **FSDP2})]
        if strategy is DDP:
            for rank in start_ranks(several):
                code, said = ended(rank)
                assert code == 2, said
                assert re.search(r"processes was 1, is 2.*go_on_with=\[processes,strategy", said), said
        said_so = replace(several, go_on_with=[*changes, "strategy"])
        stop_later = lambda: after_step(4, lambda _: os.kill(os.getpid(), signal.SIGTERM))  # noqa: E731
        for rank in start_ranks(said_so, before=stop_later if strategy is DDP else lambda: None):
            code, said = ended(rank)
            assert code == (143 if strategy is DDP else 0), said
        check_checkpoints(config, ["step_00000004" if strategy is DDP else "step_00000006"])
    expected, found = (read_rows(run.stage_dir() / "metrics.csv") for run in (straight, config))
    assert [row["step"] for row in found] == [1, 2, 3, 4, 5, 6]
    for row, right in zip(found, expected, strict=True):
        assert abs(row["loss"] - right["loss"]) < 1e-4 * right["loss"]
    assert [row.get("segment", 1) for row in found] == [1, 1, 2, 2, 3, 3]


def stopped_anywhere(arguments: argparse.Namespace) -> None:
    """Ctrl-C and SIGTERM while the model is opened and while the judge is exported: one line and the shell's code."""
    config = tiny(arguments, "cold_start", "interrupted")
    for number, code, name in ((signal.SIGINT, 130, "SIGINT"), (signal.SIGTERM, 143, "SIGTERM")):
        for before in (
            lambda number=number: when_opened(lambda: os.kill(os.getpid(), number)),
            lambda number=number: before_export(lambda: os.kill(os.getpid(), number)),
        ):
            found, said = ended(start(config, before=before))
            assert found == code, said
            assert re.fullmatch(
                rf"error: stopped by {name}; what was complete is kept, and the same command goes on\n", said
            ), said
    assert ended(start(config))[0] == 0


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


def start_ranks(
    config: TrainConfig, *, before: Callable[[], None] = lambda: None, second: TrainConfig | None = None
) -> tuple[Process, Process]:
    """Two processes as torchrun starts them; `before` is for the second, whose config may be another."""
    with meeting() as place:

        def join(rank: int) -> None:
            os.environ |= {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "GROUP_RANK": "0"}
            os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            place.join(rank=rank, num_ranks=2)
            if rank:
                before()

        first = start(config, before=lambda: join(0))
        return first, start(second or config, before=lambda: join(1), rank=1)


def ended(process: Process) -> tuple[int, str]:
    """Exit status (minus the signal's number) and what it said."""
    code = os.waitstatus_to_exitcode(os.waitpid(process[0], 0)[1])
    return code, process[1].read_text()


def when_opened(do: Callable[[], object]) -> None:
    opened = run.open_policy

    def open_policy(*args: Any, **kwargs: Any) -> Any:
        do()
        return opened(*args, **kwargs)

    run.open_policy = open_policy


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


FAULTS = {
    work.__name__: work
    for work in (full_disk, full_anywhere, hung_rank, nan_and_sigterm, two_runs, ranks_apart, resized, stopped_anywhere)
}

if __name__ == "__main__":
    main()
