"""Run one training stage of a recipe: python apps/train.py stage=cold_start|rejection_sampling|grpo (--help for the rest)."""

from pathlib import Path

from urt_train.config import TrainConfig
from urt_train.program import program


@program(Path(__file__).parent / "configs")
def main(config: TrainConfig) -> None:
    from urt_train.order import run_with_earlier_stages  # imports torch; the config is checked by now

    run_with_earlier_stages(config)


if __name__ == "__main__":
    main()
