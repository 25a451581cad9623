"""The shapes that ship are those of the published models, down to the last parameter."""

from pathlib import Path

import pytest
import torch

from urt_core.errors import ConfigError
from urt_train.cli import CONFIGS, compose
from urt_train.experiment.dry_run.shape import published_shapes, shape_of

SHAPES = {shape["names"][0]: shape for shape in published_shapes()}
ROUNDED = {"llava-hf/llava-onevision-qwen2-7b-ov-hf": 5e6}
"""Published as 8.03 B: half of the last digit. All others are published to the last parameter."""


@pytest.mark.parametrize("base", SHAPES)
def test_a_shape_has_the_parameters_it_is_published_with(base: str) -> None:
    from transformers import AutoModelForImageTextToText

    shape = shape_of(base)
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(shape.config())
    found = sum(parameter.numel() for parameter in model.parameters())
    assert found == pytest.approx(shape.parameters, rel=0, abs=ROUNDED.get(base, 0))


@pytest.mark.parametrize("path", sorted((CONFIGS / "model").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_of_the_configs_has_a_shape(path: Path, monkeypatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[4])
    shape = shape_of(compose([f"model={path.stem}"]).model.base)
    assert shape.source
    assert shape.config().get_text_config().num_hidden_layers > 0


def test_a_folder_is_read_as_it_is(tiny_folder: Path) -> None:
    shape = shape_of(str(tiny_folder))
    assert (shape.source, shape.parameters) == (f"{tiny_folder}/config.json", None)
    assert shape.config(num_layers=1).get_text_config().num_hidden_layers == 1


def test_an_unknown_base_names_the_known_ones_and_the_remedy() -> None:
    with pytest.raises(
        ConfigError, match=r"model\.base is 'someone/else'.*Qwen/Qwen3-VL-8B-Instruct.*or a local folder"
    ):
        shape_of("someone/else")
