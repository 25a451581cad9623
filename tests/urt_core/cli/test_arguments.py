"""What can be typed, and what typing it loads."""

import argparse
import subprocess
import sys
from collections.abc import Iterator

from urt_core.cli.arguments import build_parser


def test_wrong_usage_is_exit_code_2(urt):
    for options in (["compare", "--task", "audio"], ["judge"], []):
        done = subprocess.run([sys.executable, "-m", "urt_core.cli", *options], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: urt" in done.stderr


def test_the_help_loads_no_engine():
    code = (
        "import sys; from urt_core.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "urt compare --model" in done.stdout
    assert not {"torch", "openai", "transformers", "fastapi", "numpy"} & set(done.stdout.splitlines()[-1].split())


def commands_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        for command in (action.choices or {}).values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from commands_below(command)


def test_an_option_with_a_value_of_its_own_says_which():
    unsaid = [
        f"{command.prog} {action.option_strings[0]}"
        for command in commands_below(build_parser())
        for action in command._actions
        if action.option_strings and action.default not in (None, False, [], argparse.SUPPRESS)
        if "default" not in (action.help or "")
    ]
    assert not unsaid
