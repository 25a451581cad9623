"""Stages by name: ours, what installed packages bring, and what a command line names by its import path."""

from __future__ import annotations

import warnings
from dataclasses import field, make_dataclass
from functools import cache
from keyword import iskeyword
from typing import Any

from omegaconf import OmegaConf

from urt_core.doors import import_object, installed, load_door, only_parameter, what_was_raised
from urt_core.errors import ConfigError, UrtError
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

STEPS = ("base", "prepare_data")
"""What an experiment calls its other parts, in folders and results."""

BUILT_IN = (COLD_START, REJECTION_SAMPLING, GRPO, DPO, INTERNALISE)

_paths: dict[str, str] = {}
"""Import paths of stages that a command line named."""
_stages: dict[str, StageSpec] = {spec.name: spec for spec in BUILT_IN}
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


def asked(spec: StageSpec, name: str, *arguments: Any) -> Any:
    """What the function `name` of a stage answers. Where one of a user's own raises anything but a UrtError, a
    ConfigError names stage and function."""
    if spec in BUILT_IN:
        return getattr(spec, name)(*arguments)
    try:
        return getattr(spec, name)(*arguments)
    except UrtError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{name} of stage {spoken(spec.name)!r} raised {what_was_raised(error)}; expected: a UrtError where something is wrong"
            " with its settings or data"
        ) from error


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
    """One that can't be added costs a warning: nobody has asked for it, and the others are there. Whoever names it gets
    the error."""
    for point in installed(GROUP):
        try:
            _add(import_object(point.value, kind="stage", expected=EXPECTED), point.value)
        except ConfigError as error:
            warnings.warn(f"the installed stage {point.name!r} is left out: {error}", stacklevel=2)


def _add(spec: object, path: str) -> None:
    if not isinstance(spec, StageSpec):
        raise ConfigError(f"stage {path!r} is a {type(spec).__name__}; expected: {EXPECTED}")
    # Of a subclass without @dataclass the fields of its own would be none.
    is_config = (
        isinstance(spec.config, type)
        and issubclass(spec.config, StageConfig)
        and "__dataclass_fields__" in vars(spec.config)
    )
    is_name = spec.name.isidentifier() and spec.name.isascii() and not iskeyword(spec.name)
    if not is_config or spec.config.path != spec.name or not is_name:
        raise ConfigError(
            f"stage {path!r} has the name {spec.name!r} and the config {spec.config!r}; expected: an identifier in ASCII, and a"
            " @dataclass derived from StageConfig or FineTuningConfig whose `path` is that name"
        )
    if not isinstance(spec.reads, str) or not isinstance(spec.writes, tuple):
        raise ConfigError(
            f"stage {path!r} reads {spec.reads!r} and writes {spec.writes!r}; expected: a split and a tuple of splits"
        )
    only_parameter(spec.build, path, kind="build of stage", expected="a function of StageInputs")
    try:
        OmegaConf.structured(spec.config())
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the settings {spec.config.__name__} of stage {path!r} can't be made ({what_was_raised(error)}); expected: a dataclass"
            " with `plan`, and a default and a plain type for each field"
        ) from error
    other = _stages.get(spec.name)
    if (
        spec.name in STEPS
        or hasattr(TrainConfig, spec.name)
        or spec.name in TrainConfig.__dataclass_fields__
        or (other and other != spec)
    ):
        raise ConfigError(
            f"stage {path!r} is called {spec.name!r}, and something else of the config is; choose another name"
        )
    _stages[spec.name] = spec
