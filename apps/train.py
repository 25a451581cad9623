"""Run one training stage of a recipe: python apps/train.py stage=cold_start|rejection_sampling|grpo (--help for the rest)."""

from pathlib import Path

from urt_train.config import TrainConfig
from urt_train.program import program


@program(Path(__file__).parent / "configs")
def main(config: TrainConfig) -> None:
    from urt_train.order import run_missing

    run_missing(config, config.stage.value)

    from urt_train.run import run_stage  # imports torch; everything that can be checked without it is checked by now

    run_stage(config)


if __name__ == "__main__":
    main()
