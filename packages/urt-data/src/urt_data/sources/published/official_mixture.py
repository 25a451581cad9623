"""UnifiedReward's mixture files: which official JSON files are read, with which image folder, and how many rows.

    datasets:
      - json_path: dataset/HPD/grpo_train_data.json
        image_folder: dataset/HPD
        sampling_strategy: random:25%            all | first:N | end:N | random:N, each also with %

Paths start from the folder of the YAML file or from its parent, as the official ones do. `random` draws the same rows
every time, by the name of the JSON file; the official loaders draw without a seed. Percentages are rounded up, as
theirs are.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from urt_core.errors import ConfigError
from urt_core.records import Task
from urt_data.sources.folder import InputFolder, inside
from urt_data.sources.pair import LabelOrigin
from urt_data.sources.published.official import official_pairs
from urt_data.sources.rows import BadRow, FieldError, Row, read_rows
from urt_data.sources.source import Source
from urt_data.stream.selection import select


def mixture_rows(folder: InputFolder, name: str, path: Path) -> Iterator[Row | BadRow]:
    for entry in _entries(name, path):
        json_path = _place(folder, entry, "json_path", name)
        image_folder = _place(folder, entry, "image_folder", name)
        strategy = str(entry.get("sampling_strategy", "all"))
        rows = partial(read_rows, folder.root / json_path, name=json_path)
        for row in sampled(rows, strategy=strategy, seed=json_path):
            yield _with_folder(row, image_folder) if isinstance(row, Row) else row


def sampled(rows: Callable[[], Iterator[Any]], *, strategy: str, seed: str) -> Iterator[Any]:
    """The rows that a sampling strategy keeps, in file order; `rows` is read a first time to count them."""
    if strategy == "all":
        yield from rows()
        return
    total = sum(1 for _ in rows())
    kept = select(total, _in_rows(strategy, total), words=(seed,))
    positions = None if kept is None else frozenset(kept.tolist())
    for position, row in enumerate(rows()):
        if positions is None or position in positions:
            yield row


def _in_rows(strategy: str, total: int) -> str:
    """A share as a number of rows, rounded up as the official loaders do; our own mixtures round down."""
    match = re.fullmatch(r"(?P<kind>\w+):(?P<share>\d+)%", strategy)
    return f"{match['kind']}:{math.ceil(int(match['share']) * total / 100)}" if match else strategy


def _entries(name: str, path: Path) -> list[Mapping[str, Any]]:
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{name} is no valid YAML: {error}") from error
    entries = document.get("datasets") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ConfigError(f"{name} holds no list `datasets` of objects with json_path and image_folder")
    return entries


def _place(folder: InputFolder, entry: Mapping[str, Any], setting: str, name: str) -> str:
    """A path of the mixture file as a path inside the input folder."""
    value = entry.get(setting)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{name}: a data set has {setting} {value!r}; give a path")
    try:
        path = inside(value, setting)
    except FieldError as error:
        raise ConfigError(f"{name}: {error}") from error
    first, _, rest = path.partition("/")
    for candidate in (path, rest if first == folder.root.resolve().name else ""):
        if candidate and (folder.root / candidate).exists():
            return candidate
    raise ConfigError(
        f"{name}: {setting} {value!r} exists neither beside the file nor below its parent; download or correct it"
    )


def _with_folder(row: Row, image_folder: str) -> Row:
    values = dict(row.values)
    for name in ("images", "image", "video"):
        value = values.get(name)
        if isinstance(value, list):
            values[name] = [_below(image_folder, item) for item in value]
        elif value is not None:
            values[name] = _below(image_folder, value)
    return replace(row, values=values)


def _below(image_folder: str, value: Any) -> Any:
    """The image folder before a relative name; absolute names and addresses are left, to be refused when read."""
    if not isinstance(value, str) or value.startswith("/") or "://" in value:
        return value
    return f"{image_folder}/{value}"


SOURCE = Source(
    name="official_mixture",
    repository="CodeGoat24 (collection UnifiedReward training data)",
    revision="CodeGoat24/UnifiedReward@ff6f520247",
    licence="MIT on the cards, the originals' terms below",
    commercial_ok=False,
    label_origin=LabelOrigin.MODEL,
    tasks=tuple(Task),
    files=("*.yaml", "*.yml"),
    fields=None,
    read=mixture_rows,
    pairs=official_pairs,
)
