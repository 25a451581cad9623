"""A program: command line in, a checked config out, one-line errors with an exit code.

Everything here happens before torch is imported, so that a typing error costs half a second.
"""

from __future__ import annotations

import difflib
import errno
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from urt_core.atomic import DISK_ERRORS
from urt_core.doors import IMPORT_PATH
from urt_core.errors import ConfigError, UrtError
from urt_core.process.pipes import reader_may_leave
from urt_train.config import TrainConfig
from urt_train.config.fields import describe
from urt_train.config.yaml_files import check_chosen
from urt_train.errors import Stopped
from urt_train.runtime.launch import num_processes, settle_threads
from urt_train.stages import find_stage, known_stages, train_config

CONFIGS = Path(__file__).resolve().parent / "configs"
"""The YAML groups; they travel with the package."""
CONFIG_NAME = "train"

EXIT_CONFIG = 2
EXIT_FAILURE = 1


Run = Callable[[TrainConfig], None]


def program(*, is_single: bool = False) -> Callable[[Run], Callable[..., None]]:
    """Make a function of a config into the main function of a program.

    The docstring of its file heads what `--help` says.
    `is_single`: it does its work in one process; several would do the same work and write the same files.
    `main()` reads the command line; `main(config)` is the function itself, for whoever has a config.
    """

    def decorate(run: Run) -> Callable[..., None]:
        @hydra.main(version_base="1.3", config_path=str(CONFIGS), config_name=CONFIG_NAME)
        def explain(composed: Any) -> None:
            """--help, --info and --cfg, which Hydra answers by itself."""

        @wraps(run)
        def main(config: TrainConfig | None = None) -> None:
            if config is not None:
                run(config)
                return
            settle_threads()
            with reader_may_leave():
                if any(argument.startswith("-") for argument in sys.argv[1:]):
                    exit_on_error(load_named_stages)
                if "--fields" in sys.argv:
                    prefix = sys.argv[sys.argv.index("--fields") + 1 :][:1]
                    exit_on_error(lambda: print(describe(train_config(), *prefix)))
                elif is_single and num_processes() > 1:
                    exit_on_error(refuse_several_processes)
                elif any(argument.startswith("-") for argument in sys.argv[1:]):
                    exit_on_error(check_shown)
                    register(name=_shown_name(run), text=run.__globals__.get("__doc__") or "")
                    said = io.StringIO()  # Hydra would show a traceback where its reader leaves
                    try:
                        with redirect_stdout(said):
                            explain()
                    finally:  # it leaves by SystemExit
                        print(said.getvalue(), end="")
                else:
                    exit_on_error(lambda: run(compose(sys.argv[1:])))

        return main

    return decorate


def _shown_name(run: Run) -> str:
    """How a program is started: "urt-train evaluate"; a script of the repository by its path."""
    room, _, name = run.__module__.rpartition(".")
    if not room:
        return f"python {sys.argv[0]}"
    return "urt-train" if name == "train" else f"urt-train {name}"


def refuse_several_processes() -> None:
    if num_processes() > 1:
        raise ConfigError(
            f"{Path(sys.argv[0]).name} was started as {num_processes()} processes, which would all do the same work; allowed: 1, so start it"
            " with python alone, without torchrun or srun"
        )


def load_named_stages() -> None:
    """What --fields, --cfg and --help show of a stage that is named by its import path is its section: it is loaded,
    and called by its name."""
    sys.argv[1:] = map(_with_its_stage, sys.argv[1:])


def check_shown() -> None:
    """What Hydra would refuse in several lines where it is to show a config, and what its grammar has no words for."""
    check_chosen(CONFIGS, sys.argv[1:])
    overrides = [argument for argument in sys.argv[1:] if "=" in argument and not argument.startswith("-")]
    if own := [key for argument in overrides if ":" in (key := argument.partition("=")[0]) and _mapping_of(argument)]:
        raise ConfigError(
            f"{own[0]} is named by its import path, which --cfg and --help can't show; leave it out there, a run takes it"
        )
    _composed(overrides)


def register(*, name: str = "", text: str = "") -> None:
    """What `train.yaml` takes from here: the schema of its fields, and who asks for help."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=train_config())
    for spec in known_stages():
        if not (CONFIGS / "stage" / f"{spec.name}.yaml").exists():  # a user's own
            store.store(group="stage", name=spec.name, node={"stage": spec.name}, package="_global_")
    store.store(group="hydra/help", name="program", node={"app_name": name, "header": text.strip()})


def compose(arguments: Sequence[str]) -> TrainConfig:
    """The config that a command line means: `compose(["stage=grpo", "grpo.group_size=4"])`."""
    return checked(_composed(arguments), given=arguments)


def _composed(arguments: Sequence[str]) -> Any:
    """The same as Hydra's nodes, whose own checks have not run."""
    named = list(map(_with_its_stage, arguments))
    entries = [argument for argument in named if _mapping_of(argument)]
    check_chosen(CONFIGS, arguments)
    register()
    with hydra.initialize_config_dir(version_base="1.3", config_dir=str(CONFIGS)):
        try:
            composed = hydra.compose(
                config_name=CONFIG_NAME, overrides=[argument for argument in named if argument not in entries]
            )
            for argument in entries:
                _set_entry(composed, argument)
        except (HydraException, OmegaConfBaseException) as error:
            raise ConfigError(_explain(error)) from error
        return composed


def _with_its_stage(argument: str) -> str:
    """A stage that is named by its import path is loaded, and called by its name: stage=my_package.stages:SPEC ->
    stage=mine, and so for each of stages=[cold_start,my_package.stages:SPEC]"""
    key, _, text = argument.partition("=")
    if key == "stages":
        return f"{key}={IMPORT_PATH.sub(lambda path: find_stage(path[0]).name, text)}"
    return f"{key}={find_stage(text).name}" if key == "stage" and ":" in text else argument


def _mapping_of(argument: str) -> str:
    """The field that maps names to values of which `argument` sets an entry or all: "grpo.rewards"; "" where it is
    none.

    Hydra's own grammar has no names with colons (import paths) and no mappings of typed values. What maps names to
    anything (strategy, logger) is left to it.
    """
    key = argument.partition("=")[0].lstrip("+")
    return next((name for name in _mappings(train_config(), "") if key == name or key.startswith(f"{name}.")), "")


def _set_entry(composed: Any, argument: str) -> None:
    """grpo.rewards.my_rewards:length=0.1, data.counts.train={image_generation: 8000}: a whole mapping takes the place
    of what was there."""
    name = _mapping_of(argument)
    key, _, text = argument.lstrip("+").partition("=")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{key} is {text!r}; allowed: a value, or a mapping {{name: value, ...}}") from error
    mapping = OmegaConf.to_container(OmegaConf.select(composed, name))
    assert isinstance(mapping, dict)
    entry = key[len(name) + 1 :]
    group, _, last = entry.rpartition(".")
    if not entry:
        mapping = value
    elif isinstance(mapping.get(group), dict):  # data.counts.train.image_generation
        mapping[group] = {**mapping[group], last: value}
    else:
        mapping[entry] = value
    if not isinstance(mapping, dict):
        raise ConfigError(f"{key} is {text!r}; allowed: a mapping {{name: value, ...}}")
    OmegaConf.update(composed, name, mapping, merge=False)


def _mappings(schema: type, path: str) -> list[str]:
    """Dotted names of the fields that map names to values of one type."""
    found = []
    instance = schema()
    for field in fields(schema):
        if str(field.type).startswith("dict[") and not str(field.type).endswith("Any]"):
            found.append(path + field.name)
        elif is_dataclass(value := getattr(instance, field.name)):
            found += _mappings(type(value), f"{path}{field.name}.")
    return found


def checked(composed: Any, *, given: Sequence[str]) -> TrainConfig:
    """Build the dataclasses, whose own checks run; what they refuse is a ConfigError."""
    try:
        config = OmegaConf.to_object(composed)
    except OmegaConfBaseException as error:
        if isinstance(error.__cause__, UrtError):
            raise error.__cause__ from error
        raise ConfigError(_explain(error)) from error
    assert isinstance(config, TrainConfig)
    config.given = list(given)
    return config


def _explain(error: Exception) -> str:
    """Hydra's message on one line, with the names that would have been allowed."""
    text = f"{error} {error.__cause__ or ''}"
    if match := re.search(r"Key '([^']*)' not in '(\w+)'", text):
        return _unknown_field(match[1], owner=match[2], override=_first(r"override '([^']*)'", text))
    if match := re.search(
        r"Could not find '([^']*)'.*?Available options in '([^']*)':(.*?)(?:Config search path|$)", text, re.DOTALL
    ):
        group = match[2]
        allowed = f"{group} is {match[1].removeprefix(group + '/')!r}; allowed: {', '.join(match[3].split())}"
        return allowed + (_published_sets() if group == "data" else "")
    name = _first(r"full_key: (\S+)", text)
    if match := re.search(r"Invalid value '([^']*)', expected one of \[(.*?)\]", text):
        return f"{name} is {match[1]!r}; allowed: {match[2]}"
    if match := re.search(r"Cannot assign (\w+) to Dict\[", text):
        return f"{name or 'a field'} is of type {match[1]}; allowed: a mapping {{name: value, ...}}"
    if match := re.search(r"Value '([^']*)' of type '(\w+)' could not be converted to (\w+)", text):
        return f"{name} is {match[1]!r}; allowed: {_PLAIN.get(match[3], match[3])}"
    return re.sub(r"\s+", " ", text.split("full_key")[0]).strip() + (f" ({name})" if name else "")


def _published_sets() -> str:
    from urt_data.sources import SOURCES

    return (
        "; a published set is converted first, by urt-data convert data=<source> input=<folder> output=<folder>, where source is one of:"
        f" {', '.join(sorted(SOURCES))}"
    )


_PLAIN = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false"}


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match[1] if match else ""


def _unknown_field(key: str, *, owner: str, override: str) -> str:
    allowed = [field.name for field in fields(schemas[owner])] if owner in (schemas := _schemas(train_config())) else []
    near = difflib.get_close_matches(key, allowed, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"there is no field {override or key}; {guess}allowed: {', '.join(allowed)}"


def _schemas(schema: type) -> dict[str, type]:
    """The config classes by name, from the root down."""
    found = {schema.__name__: schema}
    instance = schema()
    for field in fields(schema):
        if is_dataclass(value := getattr(instance, field.name)):
            found |= _schemas(type(value))
    return found


@contextmanager
def stopping_on_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise `Stopped`; training takes them over while it can finish a round first."""

    def stop(number: int, frame: Any) -> None:
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_on_error(run: Callable[[], object]) -> None:
    """A UrtError is the user's to mend: one line, exit 2 for a config and 1 for the rest. Any other error is ours: a
    traceback.

    Ctrl-C and SIGTERM end with one line and 130 or 143, wherever the program is.
    """
    try:
        with stopping_on_signals():
            run()
    except Stopped as stopped:
        name = signal.Signals(stopped.signal_number).name
        print(f"error: stopped by {name}; what was complete is kept, and the same command goes on", file=sys.stderr)
        raise
    except UrtError as error:
        if os.environ.get("HYDRA_FULL_ERROR") == "1":
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(getattr(error, "exit_code", EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILURE))
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        remedy = "make it writable" if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) else "make room"
        print(
            f"error: {error.strerror}: {error.filename or 'a file of the run'}; {remedy}, or set output_root",
            file=sys.stderr,
        )
        sys.exit(EXIT_FAILURE)
