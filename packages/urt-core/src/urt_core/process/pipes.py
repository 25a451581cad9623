"""A command whose reader may leave: `urt ... | head`."""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 128 + getattr(signal, "SIGPIPE", 13)
"""What a shell says of a program that ended so: 141."""


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Where nobody reads the output any more, the program ends without a word. A pipe to anything else that broke is an
    error as before."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _is_left():
            raise
        # What is left goes nowhere, so that Python does not complain when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(EXIT_CODE)


def _is_left() -> bool:
    if not hasattr(select, "poll"):  # Windows
        return True
    look = select.poll()
    look.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in look.poll(0))
