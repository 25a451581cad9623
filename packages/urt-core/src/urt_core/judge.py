"""What a trained judge needs to be asked the way it was trained: `judge.json` beside its weights."""

import json
from dataclasses import asdict, dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Self

from urt_core.atomic import write_atomically
from urt_core.errors import CheckpointError, ConfigError
from urt_core.prompts.prompt import Dialect

FILE_NAME = "judge.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSpec:
    """How a judge is prompted and shown its media.

    JudgeSpec(dialect=Dialect.V1, dimensions={"image_generation": ("semantic consistency", "aesthetics", "authenticity")},
              min_pixels=4096, max_pixels=147456, num_frames=8, stage="grpo", base="Qwen/Qwen3-VL-8B-Instruct",
              data_manifest="9f86d0...", urt_version="0.1.0", max_completion_tokens=2048)
    """

    dialect: Dialect
    dimensions: dict[str, tuple[str, ...]]
    """Task -> the lower-case core dimensions it was trained to score."""
    min_pixels: int
    max_pixels: int
    """Each image or frame is resized to have between `min_pixels` and `max_pixels` pixels."""
    num_frames: int
    """Frames taken uniformly from a video."""
    stage: str
    """The training stage that wrote the weights, such as cold_start, rejection_sampling or grpo."""
    base: str
    """The model the training began from."""
    data_manifest: str = ""
    """sha256 of the manifest of the training data."""
    urt_version: str = ""
    max_completion_tokens: int | None = None
    """The longest judgement it was measured with; None in folders of before this was written down."""

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "dialect", Dialect(self.dialect))
        except ValueError:
            raise ConfigError(
                f"dialect is {self.dialect!r}; allowed: {', '.join(map(repr, map(str, Dialect)))}"
            ) from None
        object.__setattr__(self, "dimensions", {str(task): tuple(names) for task, names in self.dimensions.items()})
        if not 0 < self.min_pixels <= self.max_pixels:
            raise ConfigError(f"pixels are {self.min_pixels} to {self.max_pixels}; need 0 < min_pixels <= max_pixels")
        if self.num_frames < 1:
            raise ConfigError(f"num_frames is {self.num_frames}; it must be at least 1")
        if self.max_completion_tokens is not None and self.max_completion_tokens < 1:
            raise ConfigError(f"max_completion_tokens is {self.max_completion_tokens}; it must be at least 1, or null")

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes `judge.json` into an existing folder, whole or not at all."""
        path = Path(folder) / FILE_NAME
        write_atomically(path, (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode())
        return path

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Self:
        path = Path(folder) / FILE_NAME
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise CheckpointError(f"{path} is missing; a judge exported by urt has it beside its weights") from None
        except ValueError as error:
            raise CheckpointError(f"{path} is not JSON ({error}); export the judge again") from error
        names = {item.name for item in fields(cls)}
        optional = {"data_manifest", "urt_version", "max_completion_tokens"}
        if not isinstance(value, dict) or not names - optional <= value.keys() <= names:
            raise CheckpointError(f"{path} must be an object with the fields {', '.join(sorted(names))}")
        return cls(**value)
