"""A command is imported when it runs, and not when it is declared."""

import argparse
import subprocess
import sys

import pytest

from urt_core.cli.lazily import lazily


def test_the_function_of_the_module_gets_the_options(capsys) -> None:
    options = argparse.Namespace(json=False, names=[])
    assert lazily("commands.judges", "judges")(options) == 0
    assert "v1" in capsys.readouterr().out


def test_declaring_loads_nothing_and_a_wrong_name_fails_when_it_is_run() -> None:
    code = (
        "import sys; from urt_core.cli.lazily import lazily; lazily('commands.compare', 'compare')\n"
        "print('urt_core.cli.commands.compare' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    run = lazily("commands.nothing", "nothing")
    with pytest.raises(ModuleNotFoundError):
        run(argparse.Namespace())
