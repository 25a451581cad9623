"""Annotation files -> rows, one at a time: JSON arrays and lines, Parquet, CSV. Memory does not grow with the file.

A row that cannot be read comes out as a `BadRow` in its place, and the reader goes on behind it.
"""

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeVar

from urt_core.errors import ConfigError, DataError

T = TypeVar("T")

MAX_ROW_BYTES = 64 * 2**20
"""A JSON row larger than this is taken for a broken file; annotations are text."""
PARQUET_BATCH_ROWS = 32
JSON_CHUNK = 2**20
JSON_DECODER = json.JSONDecoder()
BLANKS = re.compile(r"[ \t\r\n]*")


class FieldError(DataError):
    """One field of one row is missing, of the wrong type or outside its allowed values."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"field {field!r}: {reason}")
        self.field = field
        self.reason = reason


class RowError(DataError):
    """A row that gave no record; it goes to quarantine and the conversion goes on.

    RowError(source="hpdv3", file="train.json", row=12, field="path1", reason="is missing")
    """

    def __init__(self, *, source: str, file: str, row: int, field: str, reason: str) -> None:
        super().__init__(f"{source}: {file}, row {row} (counted from 0), field {field!r}: {reason}")
        self.source = source
        self.file = file
        self.row = row
        self.field = field
        self.reason = reason

    def to_json(self) -> dict[str, Any]:
        """One line of a quarantine file."""
        return {"source": self.source, "file": self.file, "row": self.row, "field": self.field, "reason": self.reason}

    def __reduce__(self) -> tuple[Callable[..., "RowError"], tuple[dict[str, Any]]]:
        # Keyword-only exceptions need help to travel between worker processes.
        return _row_error, (self.to_json(),)


class LeftOut(Exception):  # no error: the source says that a row is not for it, and why
    """A row that a source leaves out on purpose.  LeftOut("one candidate with a score, no pair")"""


def _row_error(fields: dict[str, Any]) -> RowError:
    return RowError(**fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class BadRow:
    """A row that could not even be read.

    BadRow(file="data.jsonl", number=3, error=FieldError("row", "is no valid JSON"))
    """

    file: str
    number: int
    error: FieldError


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
    if not math.isfinite(value):
        raise FieldError(name, f"is {value}; it must be finite")
    return float(value)


def read_rows(
    path: Path, *, name: str, columns: Sequence[str] | None = None, within: str | None = None
) -> Iterator[Row | BadRow]:
    """The rows of one file, in order, with no other columns than `columns`.

    Parquet does not even read the others. `within` is the key under which a JSON object, rather than an array, holds
    the rows.
    """
    readers: dict[str, Callable[[], Iterator[Any]]] = {
        ".json": lambda: _json_items(path) if within is None else _json_members(path, within),
        ".jsonl": lambda: _json_lines(path),
        ".parquet": lambda: _parquet_rows(path, columns),
        ".csv": lambda: _csv_rows(path),
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


def _json_items(path: Path) -> Iterator[Any]:
    """The items of one JSON array, decoded one by one; a file that starts with an object is read as JSON lines.

    Behind a syntax error there is no telling where the next item starts, so that the rest of the file is lost, and said
    so.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        text = _JsonText(file)
        if text.peek() != "[":
            yield from _json_lines(path)
            return
        text.step()
        while text.peek() != "]":
            item = text.item()
            yield item
            if isinstance(item, FieldError):
                return
            if text.peek() == ",":
                text.step()
            elif text.peek() != "]":
                yield FieldError("row", "is not followed by ',' or ']'; all rows behind it are lost")
                return


class _JsonText:
    """A window that moves over a JSON file: what lies behind it is let go, what lies ahead is not read yet."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """The next character that is no blank; nothing at the end of the file."""
        while True:
            blanks = BLANKS.match(self._text, self._at)
            self._at = blanks.end() if blanks else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._read(JSON_CHUNK):
                return ""

    def step(self) -> None:
        self._at += 1

    def item(self) -> Any:
        """The value that begins here."""
        while True:
            ahead = len(self._text) - self._at
            try:
                item, end = JSON_DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError:
                # Doubling keeps the repeated decoding of a long item linear in its length.
                if ahead <= MAX_ROW_BYTES and self._read(max(JSON_CHUNK, ahead)):
                    continue
                return FieldError(
                    "row", "is no valid JSON or the file ends inside it; this row and all behind it are lost"
                )
            # A number at the end of the window may go on behind it; objects, which rows are, end with their brace.
            if end == len(self._text) and self._text[end - 1] not in '}]"' and self._read(JSON_CHUNK):
                continue
            self._at = end
            return item

    def _read(self, size: int) -> bool:
        chunk = self._file.read(size)
        self._text = self._text[self._at :] + chunk
        self._at = 0
        return bool(chunk)


def _json_lines(path: Path) -> Iterator[Any]:
    with path.open("rb") as file:
        while line := file.readline(MAX_ROW_BYTES):
            if not (line := line.strip()):
                continue
            try:
                yield json.loads(line)
            except ValueError as error:
                yield FieldError("row", f"is no valid JSON ({error})")


def _json_members(path: Path, within: str) -> Iterator[Any]:
    """Benchmarks of a few MB that wrap their rows in an object; read whole."""
    try:
        members = json.loads(path.read_bytes())[within]
    except (ValueError, TypeError, KeyError) as error:
        yield FieldError("row", f"the file is no JSON object with {within!r} ({type(error).__name__}: {error})")
        return
    yield from members


def _csv_rows(path: Path) -> Iterator[Any]:
    csv.field_size_limit(MAX_ROW_BYTES)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, restkey="")
        while True:
            try:
                values = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield FieldError("row", f"is no valid CSV ({error})")
                continue
            if "" in values:
                yield FieldError(
                    "row", f"has more values than the {len(reader.fieldnames or ())} columns of the header"
                )
            else:
                yield {name: value for name, value in values.items() if value not in (None, "")}


def _parquet_rows(path: Path, columns: Sequence[str] | None) -> Iterator[Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ConfigError(f"{path.name}: reading Parquet needs pyarrow; pip install 'urt-data[parquet]'") from error
    try:
        # Buffered column streams instead of whole row groups: published sets have row groups of several hundred MB.
        with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            kept = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS, columns=kept, use_threads=False):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        yield FieldError("row", f"the Parquet file is damaged here; this row and all behind it are lost ({error})")


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(sorted(str(name) for name, value in values.items() if value is not None)) or "nothing"
