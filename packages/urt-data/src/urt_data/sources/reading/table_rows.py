"""Tables -> rows: CSV with any delimiter, Parquet, and the Arrow files of `datasets.save_to_disk`."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from urt_core.errors import ConfigError
from urt_data.sources.reading.row_errors import MAX_ROW_BYTES, FieldError

PARQUET_BATCH_ROWS = 32
DELIMITERS = ",;\t|"


def read_csv(path: Path) -> Iterator[Any]:
    """The rows under the header; an empty cell is a missing value."""
    csv.field_size_limit(MAX_ROW_BYTES)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file, restkey="", delimiter=_delimiter(path))
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


def _delimiter(path: Path) -> str:
    """The one that the header has most of; a comma where it has as many of another."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline(MAX_ROW_BYTES)
    return max(DELIMITERS, key=lambda mark: (header.count(mark), mark == ","))


def read_parquet(path: Path, columns: Sequence[str] | None) -> Iterator[Any]:
    pa, pq = arrow(path, "parquet")
    try:
        # Buffered column streams instead of whole row groups: published sets have row groups of several hundred MB.
        with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
            kept = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
            for batch in file.iter_batches(batch_size=PARQUET_BATCH_ROWS, columns=kept, use_threads=False):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        yield FieldError("row", f"the Parquet file is damaged here; this row and all behind it are lost ({error})")


def read_arrow(path: Path, columns: Sequence[str] | None) -> Iterator[Any]:
    """A file of `save_to_disk`: a stream of record batches."""
    pa, ipc = arrow(path, "ipc")
    try:
        with path.open("rb") as file, ipc.open_stream(file) as stream:
            for batch in stream:
                names = [name for name in batch.schema.names if columns is None or name in columns]
                for start in range(0, batch.num_rows, PARQUET_BATCH_ROWS):
                    yield from batch.select(names).slice(start, PARQUET_BATCH_ROWS).to_pylist()
    except (pa.ArrowException, OSError) as error:
        yield FieldError("row", f"the Arrow file is damaged here; this row and all behind it are lost ({error})")


def arrow(path: Path, module: str) -> tuple[Any, Any]:
    """pyarrow and one of its modules."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError(
            f"{path.name}: reading Parquet and Arrow needs pyarrow; pip install 'urt-data[parquet]'"
        ) from error
    return pyarrow, getattr(pyarrow, module)
