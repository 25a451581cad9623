"""How a script of this folder starts: `--help` is its docstring, an error of the user's is one line."""

import sys
from collections.abc import Callable

from urt_core.errors import UrtError
from urt_core.process.pipes import reader_may_leave


def run_script(main: Callable[[list[str]], int | None], *, text: str | None) -> None:
    """`main` is given the words of the command line; what it returns is the exit code."""
    with reader_may_leave():
        if {"-h", "--help"} & set(sys.argv[1:]):
            print((text or "").strip())
            return
        try:
            sys.exit(main(sys.argv[1:]))
        except UrtError as error:
            sys.exit(f"error: {error}")
