"""Rows of a request file: JSONL, Parquet or a folder of shards."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from urt_core.errors import DataError
from urt_core.records import KEY_PATTERN, MediaKind, PreferenceRecord, Task

# urt-data registers its reader here; urt-core imports no sibling.
SHARD_READERS = "urt_core.shard_readers"
MEDIA_FIELDS = ("first", "second", "candidate", "media")


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that can't be read, under a key of its own: BadRow("pairs.jsonl, line 51 is not JSON (...)")"""

    detail: str


class Requests:
    """A request file, read lazily: Requests("pairs.jsonl"); len(), and iteration over (key, row).

    A row is what `Scorer.compare`, `score` or `rank` takes as keywords: task, text, first, second, candidate,
    candidates, media. Files are named relative to the request file. A key of its own makes a row findable; without one
    it has a hash of its content. A row that can't be read is a `BadRow` among the others.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.is_dir():
            self._shards = open_shards(self.path)
        elif not self.path.is_file():
            raise DataError(f"{self.path} does not exist; name a JSONL or Parquet file, or a folder of shards")

    def __len__(self) -> int:
        if self.path.is_dir():
            return len(self._shards)
        if self.path.suffix == ".parquet":
            return open_parquet(self.path).metadata.num_rows
        with self.path.open("rb") as file:
            return sum(1 for line in file if line.strip())

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any] | BadRow]]:
        seen: dict[str, int] = {}
        for number, row in enumerate(self._rows(), start=1):
            where = f"{self.path.name}, row {number}"
            key = f"row-{number}-unreadable"
            if not isinstance(row, BadRow):
                try:
                    key = row_key(row, where=where)
                except DataError as error:
                    row = BadRow(str(error))
                except RecursionError:
                    row = BadRow(f"{where} is nested too deeply")
            if key in seen:
                row = BadRow(
                    f"{self.path.name}: rows {seen[key]} and {number} have the key {key!r}; results are found by key, so "
                    "give each row its own"
                )
                key = f"{key[:40]}-row-{number}"
            seen[key] = number
            yield key, row

    def fingerprint(self) -> str:
        """Changes whenever the file does."""
        stat = self.path.stat()
        if self.path.is_dir():
            return f"shards:{self._shards.manifest_sha256}"
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        return f"sha256:{digest.hexdigest()}:{stat.st_size}"

    def _rows(self) -> Iterator[dict[str, Any] | BadRow]:
        if self.path.is_dir():
            yield from map(record_row, self._shards)
        elif self.path.suffix == ".parquet":
            for batch in open_parquet(self.path).iter_batches(batch_size=256):
                yield from (self._read(row, where=self.path.name) for row in batch.to_pylist())
        else:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if line.strip():
                        yield self._read(line, where=f"{self.path.name}, line {number}")

    def _read(self, row: bytes | dict[str, Any], *, where: str) -> dict[str, Any] | BadRow:
        try:
            return self._resolved(parse_line(row, where=where) if isinstance(row, bytes) else row)
        except DataError as error:
            return BadRow(str(error))
        except RecursionError:
            return BadRow(f"{where} is nested too deeply")

    def _resolved(self, row: dict[str, Any]) -> dict[str, Any]:
        """Relative file names are relative to the request file, wherever the command runs."""
        task = row.get("task") if isinstance(row.get("task"), str) else None
        is_generation = task in (Task.IMAGE_GENERATION, Task.VIDEO_GENERATION)
        resolved = {name: value for name, value in row.items() if value is not None}
        for name in MEDIA_FIELDS:
            if name in resolved and (is_generation or name == "media"):
                resolved[name] = self._resolve(resolved[name])
        if is_generation and isinstance(resolved.get("candidates"), list):
            resolved["candidates"] = [self._resolve(candidate) for candidate in resolved["candidates"]]
        return resolved

    def _resolve(self, value: Any) -> Any:
        if isinstance(value, Mapping) and "files" in value:  # the JSON of Media
            names = value["files"]
            if not isinstance(names, list) or not names:
                raise DataError(f"a medium has the files {str(names)[:100]!r}; it must be a list of at least one name")
            files = [self._resolve(name) for name in names]
            return files if value.get("kind") == MediaKind.VIDEO and len(files) > 1 else files[0]
        if isinstance(value, Mapping) and "bytes" in value:  # an image column of the datasets library
            return value["bytes"]
        if isinstance(value, list):
            return [self._resolve(item) for item in value]
        if isinstance(value, str) and not value.startswith(("data:", "http://", "https://")):
            return str(self.path.parent / value)
        return value


def row_key(row: Mapping[str, Any], *, where: str) -> str:
    key = row.get("key")
    if key is None:
        return "row-" + hashlib.sha256(json.dumps(row, sort_keys=True, default=repr).encode()).hexdigest()[:16]
    if not isinstance(key, str) or not KEY_PATTERN.fullmatch(key):
        raise DataError(f"{where}: key is {key!r}; it must match {KEY_PATTERN.pattern}, or be left out")
    return key


def parse_line(line: bytes, *, where: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where} is not UTF-8 ({error.reason} at byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise DataError(f"{where} is not JSON ({reason})") from error
    if not isinstance(row, dict):
        raise DataError(f"{where} is a JSON {type(row).__name__}; each line must be an object")
    return row


def record_row(record: PreferenceRecord) -> dict[str, Any]:
    names = ("key", "task", "text", "first", "second", "media")
    return {name: getattr(record, name) for name in names if getattr(record, name) is not None}


def open_parquet(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(f'{path.name}: Parquet needs pyarrow: pip install "urt-core[parquet]"') from error
    return ParquetFile(path)


def open_shards(folder: Path) -> Any:
    readers = list(entry_points(group=SHARD_READERS))
    if not readers:
        raise DataError(f"{folder} is a folder of shards; reading it needs urt-data: pip install urt-data")
    return readers[0].load()(folder)
