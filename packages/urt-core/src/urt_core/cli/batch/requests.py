"""The fields of one request, from options or from a row of a file."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from urt_core.cli.batch.inputs import BadRow
from urt_core.errors import ConfigError, DataError
from urt_core.records import Task


def one_request(options: argparse.Namespace, fields: Sequence[str]) -> dict[str, Any]:
    """What `Scorer` takes, from `--task`, `--text` and the candidates; a list of several files is a video's frames."""
    task = Task(options.task) if options.task else None
    needed = [*fields] if task is None or task.is_generation else [*fields, "media"]
    if options.media and "media" not in needed:
        if "candidate" in needed:
            raise ConfigError(
                "--media is what a question is about, or the source of edits that are compared; score takes none"
            )
        needed.append("media")
    missing = [f"--{name}" for name in needed if not getattr(options, name)]
    if missing:
        raise ConfigError(f"{' '.join(missing)} missing: give a whole request, or a file of requests with --input")
    request: dict[str, Any] = {}
    for name in needed:
        value = getattr(options, name)
        is_files = isinstance(value, list) and name != "candidates"
        request[name] = value[0] if is_files and len(value) == 1 else value
    return request


Row = Mapping[str, Any] | BadRow
Rows = Iterator[tuple[str, Row]]


def row_request(row: Row, fields: Sequence[str], key: str) -> dict[str, Any]:
    """What the scorer takes of a row; `DataError` where the row does not have it."""
    if isinstance(row, BadRow):
        raise DataError(row.detail)
    return row_fields(need_fields(row, fields, key), fields)


def need_fields(row: Mapping[str, Any], fields: Sequence[str], key: str) -> Mapping[str, Any]:
    missing = [name for name in fields if name not in row]
    if missing:
        raise DataError(f"request {key} lacks {', '.join(missing)}; it has {', '.join(sorted(map(str, row)))}")
    return row


def row_fields(row: Mapping[str, Any], fields: Sequence[str]) -> dict[str, Any]:
    """Only what the scorer takes: rows may hold labels and notes beside it."""
    return {name: row[name] for name in (*fields, "media") if name in row}
