"""Make the embedded base model again from its seed; `make base` runs all three parts.

    python apps/make_tiny.py recipe=tiny_base | tiny_reading | tiny_unasked

The first begins with random weights, the others where the one before ended. The result lies in
outputs/tiny_unasked/cold_start/model; the committed copy of it is urt_train/model/tiny.
"""

from urt_train.cli import program
from urt_train.config import TrainConfig


@program()
def main(config: TrainConfig) -> None:
    from urt_train.experiment.tiny import make_base  # imports torch; the config is checked by now

    print(f"the base model is in {make_base(config)}")


if __name__ == "__main__":
    main()
