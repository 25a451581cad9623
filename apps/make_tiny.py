"""Make the embedded base model again from its seed: `make base`.

Its two parts are recipe=tiny_base, from random weights, and recipe=tiny_reading, which goes on from there. The result lies in
outputs/tiny_reading/cold_start/model; the committed copy of it is assets/tiny.
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
