"""How the processes of a gloo group find each other: the first holds the store, on a port that the system gives it, and
tells the others which. A port that was free a moment ago may be somebody else's by then."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

_held: list[Any] = []
"""The stores of this process, which end with it."""


class Meeting(NamedTuple):
    """The two ends of a pipe."""

    read: int
    write: int

    def join(self, *, rank: int, num_ranks: int) -> None:
        """In each process, before the group is made; from here on the environment says where, as that of torchrun."""
        if rank == 0:
            from torch.distributed import TCPStore  # pyright: ignore[reportPrivateImportUsage]

            _held.append(TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
            for _ in range(num_ranks):
                os.write(self.write, f"{_held[-1].port:05d}".encode())
        os.close(self.write)
        port = os.read(self.read, 5)
        assert port, "the first process has ended without a word"
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port.decode()}
        os.environ["TORCHELASTIC_USE_AGENT_STORE"] = "True"  # nobody has to make the store


@contextmanager
def meeting() -> Iterator[Meeting]:
    """For as long as processes are started that inherit it."""
    ends, starter = Meeting(*os.pipe()), os.getpid()
    try:
        yield ends
    finally:
        if os.getpid() == starter:  # a fork that ends leaves this block as well, when the numbers may be other files'
            for end in ends:
                os.close(end)
