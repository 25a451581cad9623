"""Make the embedded base model again from its seed: `make base`.

Its three parts are recipe=tiny_base, from random weights, then tiny_reading and tiny_unasked, each from where the one before it
ended. The result lies in outputs/tiny_unasked/cold_start/model; the committed copy of it is assets/tiny.
"""

from pathlib import Path

from urt_train.config import TrainConfig
from urt_train.program import program


@program(Path(__file__).parent / "configs")
def main(config: TrainConfig) -> None:
    from urt_train.tiny import make_base  # imports torch; the config is checked by now

    print(f"the base model is in {make_base(config)}")


if __name__ == "__main__":
    main()
