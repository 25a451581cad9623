"""Several processes of one command, as torchrun would start them: each has RANK, LOCAL_RANK and WORLD_SIZE in its
environment."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from urt_core.errors import ConfigError, EngineError
from urt_core.process.lifetime import end_with_parent

PATIENCE_S = 10.0
STARTED_BY = "URT_STARTED_BY"
"""Of a process that another one started: the id of that one, with which it ends."""


class Workers:
    """This process is the first; the others run `command`, which by default is its own. Where torchrun has started this
    one, there are none.

    with Workers(3) as workers: ...; workers.check()
    """

    def __init__(self, num: int, *, command: Sequence[str] | None = None) -> None:
        if num < 1:
            raise ConfigError(f"--workers is {num}; it must be at least 1")
        self.command = command or [sys.executable, "-m", "urt_core.cli", *sys.argv[1:]]
        self.num = 1 if "RANK" in os.environ else num
        self._children: list[subprocess.Popen[bytes]] = []
        self._parent = os.getppid()

    def __enter__(self) -> Self:
        if started_by := os.environ.get(STARTED_BY):
            end_with_parent(int(started_by))
        if self.num == 1:
            return self
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": str(self.num)}
        for rank in range(1, self.num):
            own = {**os.environ, "RANK": str(rank), "LOCAL_RANK": str(rank), STARTED_BY: str(os.getpid())}
            self._children.append(subprocess.Popen(self.command, env=own))
        return self

    def check(self) -> None:
        """Raises where one of the others has failed, or where whoever started this process is gone."""
        for rank, child in enumerate(self._children, start=1):
            if child.poll():
                raise EngineError(
                    f"process {rank} of {self.num} ended with code {child.returncode}; what was judged is kept, the same command goes on "
                    "from there"
                )
        if os.getppid() != self._parent:
            raise EngineError("the process that started this one is gone; run the command again")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for child in self._children:
            if error is not None:
                child.terminate()
            try:
                child.wait(PATIENCE_S if error is not None else None)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        if self._children:
            for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
                os.environ.pop(name, None)


@contextmanager
def own_devices(*, num_devices: int) -> Iterator[None]:
    """As `see_own_devices`, for what is started within."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    see_own_devices(num_devices=num_devices)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def see_own_devices(*, num_devices: int) -> None:
    """Of several processes of one machine, each sees GPUs of its own, as many as it computes one model over. Before
    torch is imported."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "LOCAL_RANK" not in os.environ:
        return
    first = int(os.environ["LOCAL_RANK"]) * num_devices
    visible: Any = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(number) for number in range(first + num_devices)]
    if first + num_devices > len(devices):
        raise ConfigError(
            f"process {os.environ['LOCAL_RANK']} needs GPUs {first} to {first + num_devices - 1}, and CUDA_VISIBLE_DEVICES names "
            f"{len(devices)}; start fewer --workers"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(devices[first : first + num_devices])
