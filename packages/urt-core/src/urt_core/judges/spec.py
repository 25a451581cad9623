"""What a trained judge needs to be asked the way it was trained: `judge.json` beside its weights."""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

from urt_core.atomic import write_atomically
from urt_core.errors import CheckpointError, ConfigError
from urt_core.instant.anchors import AnchorSet, anchors_known_here
from urt_core.instant.calibration import InstantCalibration, calibration_known_here
from urt_core.media.sampling import MediaPolicy
from urt_core.prompts.prompt import Dialect

FILE_NAME = "judge.json"
SCHEMA_VERSION = "1.3"
"""Major: what an older urt would read wrongly. Minor: what it may pass over."""
MAX_BYTES = 1 << 20
_HIGHEST = {"min_pixels": 2**25, "max_pixels": 2**25, "num_frames": 4096, "max_completion_tokens": 2**20}
"""As many pixels as the decoder takes, and more frames and tokens than any judge has seen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeSpec:
    """How a judge is prompted and shown its media.

    JudgeSpec(dialect=Dialect.V1, dimensions={"image_generation": ("semantic consistency", "aesthetics",
    "authenticity")},
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
    about: str = ""
    """What it was trained to judge, where that is less than its tasks say; shown with what it answers."""
    point_contracts: tuple[str, ...] | None = None
    """Contracts by which it was trained to score single candidates; None where nobody wrote it down."""
    calibration: InstantCalibration | None = None
    """What its instant probabilities are worth, by task; None where it was not calibrated."""
    anchors: AnchorSet | None = None
    """What single candidates are held against, by task: names of files beside this one, or answers; None where none were picked."""

    @property
    def policy(self) -> MediaPolicy:
        """How it is shown pictures and videos."""
        return MediaPolicy(min_pixels=self.min_pixels, max_pixels=self.max_pixels, num_frames=self.num_frames)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "dialect", Dialect(self.dialect))
        except ValueError:
            raise ConfigError(_unknown_dialect(self.dialect)) from None
        if not isinstance(self.dimensions, Mapping) or not all(_are_words(names) for names in self.dimensions.values()):
            raise ConfigError(
                f"dimensions are {self.dimensions!r:.80}; they must be an object of lists of words, by task"
            )
        object.__setattr__(self, "dimensions", {str(task): tuple(names) for task, names in self.dimensions.items()})
        for name, highest in _HIGHEST.items():
            value = getattr(self, name)
            if value is None and name == "max_completion_tokens":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= highest:
                raise ConfigError(
                    f"{name} is {value!r:.80}; it must be a whole number, at least 1 and at most {highest:,}"
                )
        if self.min_pixels > self.max_pixels:
            raise ConfigError(f"pixels are {self.min_pixels} to {self.max_pixels}; need 0 < min_pixels <= max_pixels")
        for name in ("stage", "base", "data_manifest", "urt_version", "about"):
            if not isinstance(getattr(self, name), str):
                raise ConfigError(f"{name} is {getattr(self, name)!r:.80}; it must be a text")
        if self.point_contracts is not None:
            if not _are_words(self.point_contracts):
                raise ConfigError(
                    f"point_contracts are {self.point_contracts!r:.80}; they must be a list of names, or null"
                )
            object.__setattr__(self, "point_contracts", tuple(self.point_contracts))
        if self.calibration is not None and not isinstance(self.calibration, InstantCalibration):
            object.__setattr__(self, "calibration", InstantCalibration.from_json(self.calibration))
        if self.anchors is not None and not isinstance(self.anchors, AnchorSet):
            object.__setattr__(self, "anchors", AnchorSet.from_json(self.anchors))

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes `judge.json` into an existing folder, whole or not at all."""
        path = Path(folder) / FILE_NAME
        value = {"schema_version": SCHEMA_VERSION, **asdict(replace(self, calibration=None, anchors=None))}
        value["calibration"] = self.calibration.to_json() if self.calibration else None
        value["anchors"] = self.anchors.to_json() if self.anchors else None
        write_atomically(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())
        return path

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> Self:
        """Reads it; a CheckpointError names the field that is missing, unknown or impossible.

        A file of a newer minor version opens, with a warning that names the fields, tasks and kinds of maps that are
        not known here; one of a newer major version does not.
        """
        path = Path(folder) / FILE_NAME
        value, is_newer = _read(path)
        names = {item.name for item in fields(cls)}
        required = {item.name for item in fields(cls) if item.default is MISSING and item.default_factory is MISSING}
        unknown = sorted(value.keys() - names)
        if required - value.keys() or (unknown and not is_newer):
            raise CheckpointError(
                f"{path} must be an object with the fields {', '.join(sorted(names))}; it lacks "
                f"{sorted(required - value.keys())} and has unknown {unknown}"
            )
        if is_newer:
            for name, known_within in (("calibration", calibration_known_here), ("anchors", anchors_known_here)):
                if name in value:
                    value[name], within = known_within(value[name])
                    unknown += [f"{name}.{inner}" for inner in within]
        if unknown:
            warnings.warn(f"{path} is newer than this urt, which does not know its {', '.join(unknown)}", stacklevel=2)
        try:
            return cls(**{name: value[name] for name in names & value.keys()})
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error}") from error


def _read(path: Path) -> tuple[dict[str, Any], bool]:
    """The object without its version, and whether that is newer than ours."""
    try:
        if path.exists() and not path.is_file():
            raise OSError("it is not a regular file")
        with path.open("rb") as file:
            value = json.loads(file.read(MAX_BYTES))
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; a judge exported by urt has it beside its weights") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({str(error)[:200]}); export the judge again") from error
    if not isinstance(value, dict):
        raise CheckpointError(
            f"{path} is a {type(value).__name__}; it must be an object with dialect, dimensions and so on"
        )
    version = value.pop("schema_version", "1.0")
    found = re.fullmatch(r"([0-9]{1,4})\.([0-9]{1,4})", version) if isinstance(version, str) else None
    if found is None:
        raise CheckpointError(f"{path}: schema_version is {version!r:.80}; it must read like {SCHEMA_VERSION!r}")
    major, minor = (int(number) for number in found.groups())
    ours = tuple(int(number) for number in SCHEMA_VERSION.split("."))
    if major > ours[0]:
        raise CheckpointError(
            f"{path}: schema_version is {version}, this urt reads up to {ours[0]}.x; install a newer urt-core to use this judge"
        )
    return value, (major, minor) > ours


def _unknown_dialect(name: object) -> str:
    message = f"dialect is {name!r:.120}; allowed: {', '.join(map(repr, map(str, Dialect)))}"
    if isinstance(name, str) and ":" in name:
        return f"{message}, and {name!r:.120} once you say yourself that its code may run: dialect={name!r:.120} (--dialect)"
    return f"{message}, or the name of a contract that is installed"


def _are_words(names: object) -> bool:
    return isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
