"""A command whose reader left ends without a word; any other broken pipe is an error."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from urt_core.process.pipes import reader_may_leave

ROOT = Path(__file__).parents[3]


def without_reader(*words: str) -> tuple[int, str]:
    """Exit code and stderr of a Python program into a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, *words],
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
            timeout=300,
            check=False,
            cwd=ROOT,
        )
    finally:
        os.close(write)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "body",
    ["print('a line')", "print('x' * 10**6)", "sys.exit(0) if print('said') is None else 0", "print(1, flush=True)"],
)
def test_a_reader_that_left_is_no_error(body):
    code = f"import sys\nfrom urt_core.process.pipes import reader_may_leave\nwith reader_may_leave():\n    {body}"
    assert without_reader("-c", code) == (141, "")


def test_where_nothing_is_said_nothing_breaks():
    assert without_reader(
        "-c", "from urt_core.process.pipes import reader_may_leave\nwith reader_may_leave(): pass"
    ) == (0, "")


@pytest.mark.parametrize(
    "command",
    [
        ("-m", "urt_core.cli", "bench", "list"),
        ("-m", "urt_core.cli", "compare", "--help"),
        ("-m", "urt_data.cli", "--help"),
        ("-m", "urt_train", "--fields"),
        ("-m", "urt_train", "prepare_data", "--help"),
        ("apps/compare.py", "--help"),
    ],
    ids=" ".join,
)
def test_every_command_may_lose_its_reader(command):
    code, said = without_reader(*command)
    assert code in (0, 141), said  # argparse drops what it can't write
    assert said == ""


def test_another_pipe_that_broke_is_an_error(capfd):
    with pytest.raises(BrokenPipeError, match="of a worker"), reader_may_leave():
        raise BrokenPipeError("of a worker")
