"""Models that travel with the package, by a name that cannot be a folder's or a hub id's: `embedded:tiny`."""

from pathlib import Path

from urt_core.errors import ConfigError
from urt_core.example import JUDGE

PREFIX = "embedded:"
FOLDERS = {"tiny": Path(__file__).parent / "tiny", "judge": JUDGE}
"""tiny: a Qwen3-VL of 1.7 million parameters that can describe sprites and has not learnt to judge (`make base`); judge: what the demo
makes of it at seed 0, which travels with urt-core."""


def model_source(base: str) -> str:
    """Where the model is read from: the package's own folder for an embedded name, else `base` itself."""
    if not base.startswith(PREFIX):
        return base
    name = base.removeprefix(PREFIX)
    if name not in FOLDERS:
        raise ConfigError(
            f"model.base is {base!r}; allowed of the embedded ones: {', '.join(map(PREFIX.__add__, FOLDERS))}"
        )
    return str(FOLDERS[name])
