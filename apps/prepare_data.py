"""Make or convert labelled pairs into shards.

    python apps/prepare_data.py data=sprites
    python apps/prepare_data.py data=hpdv3 input=downloads/HPDv3 output=data/hpdv3
    python apps/prepare_data.py data=generic input=pairs.csv output=data/mine columns.text=prompt columns.first=image_a columns.second=image_b

The first makes every split of the recipe in the embedded world; the others are `urt-data convert`.
"""

import sys

from urt_core.errors import UrtError
from urt_data.sources import SOURCES
from urt_train.cli import program
from urt_train.config import TrainConfig


@program(is_single=True)
def main(config: TrainConfig) -> None:
    from urt_train.datasets.preparation import make_pairs

    make_pairs(config)


def convert_source(arguments: list[str]) -> None:
    from urt_data.prepare import prepare

    try:
        report = prepare(arguments, progress=print)
    except UrtError as error:
        sys.exit(f"error: {error}")
    print("\n".join(report.lines()))
    if not report.is_within_limit:
        sys.exit(1)


def is_conversion(arguments: list[str]) -> bool:
    """A published set is converted as it is; no recipe has a say in it."""
    return any(argument.startswith("input=") or argument.removeprefix("data=") in SOURCES for argument in arguments)


if __name__ == "__main__":
    if is_conversion(sys.argv[1:]):
        convert_source(sys.argv[1:])
    else:
        main()
