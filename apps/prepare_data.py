"""Make or convert labelled pairs into shards.

    python apps/prepare_data.py data=sprites
    python apps/prepare_data.py data=hpdv3 input=downloads/HPDv3 output=data/hpdv3
    python apps/prepare_data.py data=generic input=pairs.csv output=data/mine columns.text=prompt columns.first=image_a columns.second=image_b

The first makes every split of the recipe in the embedded world; the others are `urt-data convert`.
"""

import sys

from urt_data import cli
from urt_data.sources import SOURCES
from urt_train.cli import program
from urt_train.config import TrainConfig


@program(is_single=True)
def main(config: TrainConfig) -> None:
    from urt_train.datasets.preparation import make_pairs

    make_pairs(config)


def is_conversion(arguments: list[str]) -> bool:
    """A published set is converted as it is; no recipe has a say in it."""
    return any(argument.startswith("input=") or argument.removeprefix("data=") in SOURCES for argument in arguments)


if __name__ == "__main__":
    if is_conversion(sys.argv[1:]):
        sys.exit(cli.main(["convert", *sys.argv[1:]]))
    else:
        main()
