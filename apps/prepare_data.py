"""Make or convert labelled pairs into shards: `urt-train prepare_data` and `urt-data convert` for a clone.

python apps/prepare_data.py data=sprites
python apps/prepare_data.py data=hpdv3 input=downloads/HPDv3 output=data/hpdv3
"""

import sys

from urt_data import cli
from urt_data.sources import SOURCES
from urt_train.programs.prepare_data import main


def is_conversion(arguments: list[str]) -> bool:
    """A published set is converted as it is; no recipe has a say in it."""
    return any(argument.startswith("input=") or argument.removeprefix("data=") in SOURCES for argument in arguments)


if __name__ == "__main__":
    if is_conversion(sys.argv[1:]):
        sys.exit(cli.main(["convert", *sys.argv[1:]]))
    else:
        main()
