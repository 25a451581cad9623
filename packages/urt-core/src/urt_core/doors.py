"""What a user adds without changing a file of ours: named by a built-in name, an import path or an entry point.

    "accuracy"                     a name of the door's own table
    "my_package.rewards:length"    an import path, package.module:name
    "length"                       an entry point of the door's group, which an installed package declares

Whoever names an import path runs the module it names. So paths are taken from a user's own words (an argument, a flag,
a configuration) and never from a file that came with data or weights; an entry point was installed on purpose.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from urt_core.errors import ConfigError

IMPORT_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*(?:\.[^\W\d]\w*)*")


def load_door(path: str, *, kind: str, group: str, built_in: Mapping[str, Any], expected: str) -> Any:
    """The object behind `path`. `kind` and `expected` say in errors what was looked for, such as "reward" and its
    signature."""
    if path in built_in:
        return built_in[path]
    if IMPORT_PATH.fullmatch(path):
        return import_object(path, kind=kind, expected=expected)
    declared = installed(group)
    values = sorted({point.value for point in declared if point.name == path})
    if len(values) > 1:
        raise ConfigError(
            f"{kind} {path!r} is declared by several installed packages, as {', '.join(values)}; name the import path that you mean"
        )
    if values:
        return import_object(values[0], kind=kind, expected=expected)
    names = dict.fromkeys((*built_in, *(point.name for point in declared)))
    raise ConfigError(
        f"{kind} is {path!r}; allowed: {', '.join(names)}, or an import path package.module:name of {expected}"
    )


def import_object(path: str, *, kind: str, expected: str) -> Any:
    module_name, _, attributes = path.partition(":")
    try:
        value, absent = import_module(module_name), object()
        for name in attributes.split("."):
            value = getattr(value, name, absent)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{kind} {path!r} does not import ({what_was_raised(error)}); expected: {expected}. "
            "Install its package, or name its folder in PYTHONPATH"
        ) from error
    if value is absent:
        raise ConfigError(f"{kind} {path!r}: {module_name} has no {attributes!r}; expected: {expected}")
    return value


def what_was_raised(error: BaseException) -> str:
    """Type and text of what code of a user's raised, on one line. Such code may leave by SystemExit (a script that
    parses its arguments); a kind of SystemExit is the program's own stop by a signal, and goes on."""
    if isinstance(error, SystemExit) and type(error) is not SystemExit:
        raise error
    return " ".join(f"{type(error).__name__}: {error}".split())


@cache
def installed(group: str) -> tuple[Any, ...]:
    """The entry points of `group` that installed packages declare."""
    return tuple(entry_points(group=group))


def only_parameter(function: Callable[..., Any], path: str, *, kind: str, expected: str) -> inspect.Parameter:
    """The one parameter that has to be given to `function`; a ConfigError where it takes none or needs more."""
    try:
        parameters = list(inspect.signature(function).parameters.values()) if callable(function) else []
    except (TypeError, ValueError):
        parameters = []
    positional = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    needed = [item for item in parameters if item.default is item.empty and item.kind.name[:3] != "VAR"]
    if not positional or needed[1:] or (needed and needed[0] is not positional[0]):
        raise wrong_signature(function, path, kind=kind, expected=expected)
    return positional[0]


def wrong_signature(value: Any, path: str, *, kind: str, expected: str) -> ConfigError:
    try:
        found = f"{getattr(value, '__name__', type(value).__name__)}{inspect.signature(value)}"
    except (TypeError, ValueError):
        found = f"a {type(value).__name__}"
    return ConfigError(f"{kind} {path!r} is {found}; expected: {expected}")
