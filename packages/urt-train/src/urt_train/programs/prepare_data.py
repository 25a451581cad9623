"""Make every split of the recipe in the embedded world: urt-train prepare_data

Published sets and own tables are converted by `urt-data convert`.
"""

from urt_train.cli import program
from urt_train.config import TrainConfig


@program(is_single=True)
def main(config: TrainConfig) -> None:
    from urt_train.experiment.data import make_pairs

    make_pairs(config)
