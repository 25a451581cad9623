"""An embedded model is found wherever the package is; other names are left alone."""

from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_train.model.embedded import FOLDERS, model_source


@pytest.mark.parametrize("name", FOLDERS)
def test_an_embedded_model_is_whole(name: str) -> None:
    folder = Path(model_source(f"embedded:{name}"))
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("base", ["Qwen/Qwen3-VL-8B-Instruct", "runs/tiny", "tiny"])
def test_a_folder_or_hub_id_stays_as_it_is(base: str) -> None:
    assert model_source(base) == base


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"model\.base is 'embedded:small'; allowed .*: embedded:tiny"):
        model_source("embedded:small")
