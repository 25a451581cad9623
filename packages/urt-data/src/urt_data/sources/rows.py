"""Annotation files -> rows, one at a time: JSON, Parquet, Arrow, CSV. Memory does not grow with the file.

A row that cannot be read comes out as a `BadRow` in its place, and the reader goes on behind it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from urt_core.errors import ConfigError
from urt_data.sources.reading import json_rows, table_rows
from urt_data.sources.reading.row_errors import BadRow, FieldError, LeftOut, RowError

__all__ = ["BadRow", "FieldError", "LeftOut", "Row", "RowError", "as_real", "read_rows"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of an annotation file with accessors that say what is wrong.

    Row(file="data/train.json", number=12, values={"prompt": "a red car", "path1": "images/a.jpg"})
    """

    file: str
    """Name inside the input folder."""
    number: int
    """Counted from 0 inside the file."""
    values: Mapping[str, Any]

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def get(self, name: str) -> Any:
        """The value as it is; None where the column is missing or empty."""
        return self.values.get(name)

    def require(self, name: str) -> Any:
        if self.values.get(name) is None:
            raise FieldError(name, f"is missing; the row has {_listed(self.values)}")
        return self.values[name]

    def text(self, name: str) -> str:
        """A string with something in it."""
        value = self.require(name)
        if not isinstance(value, str):
            raise FieldError(name, f"is {_shown(value)}; it must be a string")
        if not value.strip():
            raise FieldError(name, "is empty")
        return value

    def real(self, name: str) -> float:
        """A finite number; CSV gives it as text."""
        return as_real(self.require(name), name)

    def items(self, name: str, *, length: int | None = None) -> Sequence[Any]:
        """A list, of `length` items where that is fixed."""
        value = self.require(name)
        if not isinstance(value, list | tuple):
            raise FieldError(name, f"is {_shown(value)}; it must be a list")
        if length is not None and len(value) != length:
            raise FieldError(name, f"has {len(value)} items; it must have {length}")
        return value

    def fields(self, name: str) -> Mapping[str, Any]:
        """A JSON object."""
        value = self.require(name)
        if not isinstance(value, Mapping):
            raise FieldError(name, f"is {_shown(value)}; it must be an object")
        return value

    def choice(self, name: str, allowed: Mapping[str, T]) -> T:
        """The meaning of one of a few words."""
        value = self.require(name)
        if not isinstance(value, str) or value not in allowed:
            raise FieldError(name, f"is {_shown(value)}; allowed: {', '.join(repr(word) for word in allowed)}")
        return allowed[value]


def as_real(value: Any, name: str) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise FieldError(name, f"is {_shown(value)}; it must be a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise FieldError(name, f"is {_shown(value)}; it must be a number")
    try:
        number = float(value)
    except OverflowError:
        raise FieldError(name, f"is {_shown(value)}; no float is as large") from None
    if not math.isfinite(number):
        raise FieldError(name, f"is {value}; it must be finite")
    return number


def read_rows(
    path: Path, *, name: str, columns: Sequence[str] | None = None, within: str | None = None
) -> Iterator[Row | BadRow]:
    """The rows of one file, in order, with no other columns than `columns`.

    Parquet does not even read the others. `within` is the key under which a JSON object, rather than an array, holds
    the rows.
    """
    readers: dict[str, Callable[[], Iterator[Any]]] = {
        ".json": lambda: json_rows.read_json(path, within=within),
        ".jsonl": lambda: json_rows.read_lines(path),
        ".parquet": lambda: table_rows.read_parquet(path, columns),
        ".csv": lambda: table_rows.read_csv(path),
        ".arrow": lambda: table_rows.read_arrow(path, columns),
        ".tsv": lambda: table_rows.read_csv(path),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"{name}: rows are read from {', '.join(readers)} files; convert it to one of these")
    for number, values in enumerate(reader()):
        if isinstance(values, FieldError):
            yield BadRow(file=name, number=number, error=values)
        elif not isinstance(values, Mapping):
            yield BadRow(
                file=name, number=number, error=FieldError("row", f"is {_shown(values)}; it must be an object")
            )
        else:
            kept = values if columns is None else {column: values[column] for column in columns if column in values}
            yield Row(file=name, number=number, values=kept)


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(sorted(str(name) for name, value in values.items() if value is not None)) or "nothing"
