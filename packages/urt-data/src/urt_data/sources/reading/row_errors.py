"""What can be wrong with a row, and what a source says of rows that are not for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from urt_core.errors import DataError

MAX_ROW_BYTES = 64 * 2**20
"""A row larger than this is taken for a broken file; annotations are text."""


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
