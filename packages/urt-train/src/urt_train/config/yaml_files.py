"""The YAML file behind `recipe=NAME`, looked at before it is composed: a recipe may come from anywhere.

It sets fields of ours, and Hydra's own section (which names loggers, files and folders) is none. Aliases may not unfold
without end: 380 bytes can hold millions of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from urt_core.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_VALUES = 10_000
"""With all aliases unfolded; the largest recipe of ours has fewer than 200."""
MAX_DEPTH = 50


def check_chosen(folder: Path, arguments: Sequence[str]) -> None:
    """ConfigError for a chosen option (`recipe=NAME`) whose file is none that may be composed."""
    seen: set[Path] = set()
    waiting = [
        folder / group / f"{name}.yaml"
        for group, equals, name in (argument.lstrip("+").partition("=") for argument in arguments)
        if equals and _is_plain(group) and _is_plain(name)
    ]
    while waiting:
        path = waiting.pop()
        if path not in seen and path.is_file():
            seen.add(path)
            waiting += [path.parent / f"{name}.yaml" for name in check_file(path) if _is_plain(name)]


def check_file(path: Path) -> list[str]:
    """The names in its list of defaults, which are files beside it or none."""
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"{path.name} has {path.stat().st_size:,} bytes, allowed are {MAX_BYTES:,}")
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path.name} is not YAML ({' '.join(str(error).split())[:200]})") from error
    if root is None:
        return []
    if _unfolded(root, {}, 0) > MAX_VALUES:
        raise ConfigError(
            f"{path.name} unfolds to more than {MAX_VALUES:,} values, or is deeper than {MAX_DEPTH}; write them out without aliases"
        )
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{path.name} is no mapping of fields to values")
    names = {key.value: value for key, value in root.value if isinstance(key, yaml.ScalarNode)}
    if strange := [name for name in names if name == "hydra" or name.startswith(("hydra.", "hydra@", "hydra/"))]:
        raise ConfigError(
            f"{path.name} sets {strange[0]}; a recipe sets fields of urt (urt-train --fields), and logging is none"
        )
    return list(_defaults(names.get("defaults")))


def _defaults(node: yaml.Node | None) -> Iterator[str]:
    for entry in node.value if isinstance(node, yaml.SequenceNode) else ():
        if isinstance(entry, yaml.ScalarNode):
            yield entry.value
        elif isinstance(entry, yaml.MappingNode):
            for key, value in entry.value:
                if "hydra" in str(key.value):
                    raise ConfigError(f"its defaults choose {key.value!s:.80}; a recipe chooses groups of urt alone")
                if isinstance(value, yaml.ScalarNode):
                    yield value.value


def _unfolded(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """How many values it has with every alias written out; a node that holds itself has more than are allowed."""
    if id(node) in known:
        return known[id(node)]
    if depth > MAX_DEPTH:
        return MAX_VALUES + 1
    known[id(node)] = MAX_VALUES + 1  # while it is counted
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    items = (
        [item for pair in pairs for item in pair]
        if pairs
        else node.value
        if isinstance(node, yaml.SequenceNode)
        else ()
    )
    total = 1
    for item in items:
        total += _unfolded(item, known, depth + 1)
        if total > MAX_VALUES:
            break
    known[id(node)] = total
    return total


def _is_plain(name: str) -> bool:
    return bool(name) and all(part.replace("-", "_").isidentifier() or part.isdigit() for part in name.split("."))
