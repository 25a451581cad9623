"""Shapes of the bases: what their config.json says, without their weights and without a hub.

A base that is a folder is read from there. For the bases of the recipes the facts of their published config.json lie in
`shapes/`, each file with its source and the number of parameters that the model is published with.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from urt_core.errors import ConfigError
from urt_train.model.embedded import model_source

FOLDER = Path(__file__).parent / "shapes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """Shape(base="Qwen/Qwen3-VL-8B-Instruct", settings={"model_type": "qwen3_vl", ...}, source="config.json of ...",
    parameters=8_767_123_696)"""

    base: str
    settings: dict[str, Any]
    """As in config.json."""
    source: str
    parameters: int | None = None
    """As published; None for a folder."""
    parameters_source: str = ""
    unverified: str = ""
    """What of it could not be checked."""
    folder: Path | None = None
    """Where the base itself lies, with its tokenizer and image processor."""

    def config(self, *, num_layers: int | None = None) -> Any:
        """The config of transformers; with `num_layers`, that of a model with only the first layers of the language
        model."""
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING

        config: Any = CONFIG_MAPPING[self.settings["model_type"]].from_dict(self.settings)
        if num_layers is not None:
            text = config.get_text_config()
            text.num_hidden_layers = num_layers
            if getattr(text, "layer_types", None):
                text.layer_types = text.layer_types[:num_layers]
        return config


def shape_of(base: str) -> Shape:
    """That of a folder with a config.json, an embedded model's, or a published one by its hub id."""
    folder = Path(model_source(base))
    if (folder / "config.json").is_file():
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return Shape(base=base, settings=settings, source=f"{base}/config.json", folder=folder)
    shapes = {name: shape for shape in published_shapes() for name in shape["names"]}
    if base not in shapes:
        raise ConfigError(
            f"model.base is {base!r}, whose shape is not known here; allowed: {', '.join(sorted(shapes))}, or a local folder with the"
            " config.json of the model"
        )
    found = shapes[base]
    return Shape(
        base=base,
        settings=found["config"],
        source=found["source"],
        parameters=found["parameters"],
        parameters_source=found["parameters_source"],
        unverified=found.get("unverified", ""),
    )


def published_shapes() -> Iterator[dict[str, Any]]:
    """The files of `shapes/`: {"names": ["Qwen/Qwen3-VL-8B-Instruct"], "source": "...", "parameters": 8767123696,
    "config": {...}}"""
    for path in sorted(FOLDER.glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))
