"""The rows of a file, as a list."""

from pathlib import Path
from typing import Any

from urt_data.sources.rows import Row, read_rows


def rows_of(path: Path, **settings: Any) -> list[Any]:
    return [row.values if isinstance(row, Row) else row for row in read_rows(path, name=path.name, **settings)]
