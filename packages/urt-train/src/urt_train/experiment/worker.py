"""What the other processes of an evaluation run: python -m urt_train.experiment.worker assess|suites setting=value ..."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from urt_train.cli import compose, exit_on_error
from urt_train.runtime.launch import settle_threads


def main(arguments: Sequence[str]) -> None:
    """This process's share, by RANK and WORLD_SIZE; whoever started it has the result."""
    does, *settings = arguments
    config = compose(settings)
    from urt_train.experiment.assessment import assess, assess_suites

    assert config.checkpoint is not None
    {"assess": assess, "suites": assess_suites}[does](config, config.checkpoint)


if __name__ == "__main__":
    settle_threads()
    exit_on_error(lambda: main(sys.argv[1:]))
