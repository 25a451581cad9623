"""Stages by name: ours, what installed packages bring, and what a command line names by its import path."""

from __future__ import annotations

from dataclasses import field, is_dataclass, make_dataclass
from functools import cache
from typing import Any

from urt_core.doors import import_object, installed, load_door
from urt_core.errors import ConfigError
from urt_train.config import TrainConfig
from urt_train.config.stage import StageConfig
from urt_train.stages.cold_start import SPEC as COLD_START
from urt_train.stages.dpo import SPEC as DPO
from urt_train.stages.grpo import SPEC as GRPO
from urt_train.stages.internalise import SPEC as INTERNALISE
from urt_train.stages.rejection_sampling import SPEC as REJECTION_SAMPLING
from urt_train.stages.spec import StageSpec

GROUP = "urt.stages"
"""The group of entry points that installs stages."""
EXPECTED = 'StageSpec(name="...", title="...", config=<dataclass of StageConfig>, reads="<split>", build=<function of StageInputs>)'

_paths: dict[str, str] = {}
"""Import paths of stages that a command line named."""
_stages: dict[str, StageSpec] = {spec.name: spec for spec in (COLD_START, REJECTION_SAMPLING, GRPO, DPO, INTERNALISE)}
"""Those of this process, in the order in which they come."""


def known_stages() -> tuple[StageSpec, ...]:
    _add_installed()
    return tuple(_stages.values())


def find_stage(name: str) -> StageSpec:
    """The stage of a name or of an import path; from then on its settings are a section of the config."""
    _add_installed()
    if name not in _stages:
        spec = load_door(name, kind="stage", group=GROUP, built_in=_stages, expected=EXPECTED)
        _add(spec, name)
        _paths[spec.name] = name
        return spec
    return _stages[name]


def spoken(name: str) -> str:
    """What another process has to be told to find the stage too: its name, or the import path of a user's own."""
    return _paths.get(name, name)


def train_config() -> type[Any]:
    """The schema of a whole config: a TrainConfig with a section for each known stage, which no type checker can know,
    and the stages that are there by default, in their order, as its own."""
    return _schema(known_stages())


@cache
def _schema(specs: tuple[StageSpec, ...]) -> type[TrainConfig]:
    chosen = [spec.name for spec in specs if spec.by_default]
    defaults = [("stage", str, field(default=chosen[0])), ("stages", list[str], field(default_factory=chosen.copy))]
    sections = [(spec.name, spec.config, field(default_factory=spec.config)) for spec in specs]
    return make_dataclass(
        TrainConfig.__name__,
        [*defaults, *sections],
        bases=(TrainConfig,),
        namespace={"__doc__": TrainConfig.__doc__, "__module__": __name__},
        kw_only=True,
    )


@cache
def _add_installed() -> None:
    for point in installed(GROUP):
        _add(import_object(point.value, kind="stage", expected=EXPECTED), point.value)


def _add(spec: object, path: str) -> None:
    if not isinstance(spec, StageSpec):
        raise ConfigError(f"stage {path!r} is a {type(spec).__name__}; expected: {EXPECTED}")
    is_config = isinstance(spec.config, type) and issubclass(spec.config, StageConfig) and is_dataclass(spec.config)
    if not is_config or spec.config.path != spec.name or not spec.name.isidentifier():
        raise ConfigError(
            f"stage {path!r} has the name {spec.name!r} and the config {spec.config!r}; expected: an identifier, and a dataclass derived"
            " from StageConfig or FineTuningConfig whose `path` is that name"
        )
    other = _stages.get(spec.name)
    if hasattr(TrainConfig, spec.name) or spec.name in TrainConfig.__dataclass_fields__ or (other and other != spec):
        raise ConfigError(
            f"stage {path!r} is called {spec.name!r}, and something else of the config is; choose another name"
        )
    _stages[spec.name] = spec
