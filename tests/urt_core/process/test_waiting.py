"""Threads of torch sleep while they wait, unless the user says otherwise; it is settled before torch is loaded."""

import subprocess
import sys

from urt_core.process.waiting import WAITING, settle_waiting


def test_what_the_user_said_stands() -> None:
    environment = {"OMP_WAIT_POLICY": "ACTIVE"}
    settle_waiting(environment)
    assert environment == {**WAITING, "OMP_WAIT_POLICY": "ACTIVE"}


def test_the_command_settles_it_before_anything_is_loaded() -> None:
    code = (
        "import os, sys; from urt_core import cli; os.environ.pop('OMP_WAIT_POLICY', None)\n"
        "cli.main = lambda: print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules) or 0\n"
        "cli.console_main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "PASSIVE False\n"
