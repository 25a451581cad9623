"""Make the embedded base model again from its seed: python apps/make_tiny.py recipe=tiny_base

The result lies in outputs/tiny_base/cold_start/model; the committed copy of it is assets/tiny.
"""

from pathlib import Path

from urt_train.config import TrainConfig
from urt_train.program import program

NUM_SEEING = 250


@program(Path(__file__).parent / "configs")
def main(config: TrainConfig) -> None:
    from urt_train.tiny import make_base  # imports torch; the config is checked by now

    print(f"the base model is in {make_base(config, num_seeing=NUM_SEEING)}; assets/tiny is a copy of that folder")


if __name__ == "__main__":
    main()
