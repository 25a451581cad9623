"""Processes that end with the one that started them, however that ends."""

import ctypes
import multiprocessing
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
"""Of Linux's sys/prctl.h: the signal that a process gets when its parent is gone."""


def end_with_parent(parent: int | None = None) -> None:
    """From now on this process is killed when the one that started it is gone; at once, where it already is. A parent
    that is killed with -9 has no other way to say so. `parent` is its id, where multiprocessing does not know it. On
    Linux alone (prctl(2)).
    """
    if parent is None and (process := multiprocessing.parent_process()):
        parent = process.pid
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)
