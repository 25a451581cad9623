"""Run a whole recipe: data, teacher, its stages, an evaluation before and after each, the report.

    urt-train pipeline [recipe=tiny]

Started again, it goes on where it stopped: what is finished under the same settings is kept.
"""

from urt_train.cli import program
from urt_train.config import TrainConfig


@program(is_single=True)
def main(config: TrainConfig) -> None:
    from urt_train.experiment.pipeline import run_pipeline

    run_pipeline(config)
