"""The way back: records -> UnifiedReward's own JSON with its media files, or one Parquet file; both can be read again.

    write_official_grpo(records, folder)   grpo_train_data.json   {"problem", "solution", "images"}
    write_official_sft(records, folder)    train_data.json        {"conversations", "images"}
    write_parquet(records, path)           one row per record, media inside; `read_parquet` gives equal records

The rows of both JSON forms also carry the whole record as a string (`urt_record`): the official loaders ignore it, and
`sources.get("official_grpo")` or `("official_sft")` reads it back without loss. Without it (`embed=False`) they read
the prompt.
"""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from urt_core.atomic import publish, temporary_path
from urt_core.errors import ConfigError
from urt_core.prompts import Dialect, render, verdict_text
from urt_core.records import Media, Preference, PreferenceRecord
from urt_data.errors import DataError
from urt_data.sources.published.official import EMBEDDED_RECORD

ROLES = ("first", "second", "media")
IMAGE_TAG = "<image>\n"
PARQUET_GROUP_BYTES = 64 * 2**20
"""A row group is written when it holds this much, so that memory does not grow with the number of records."""


def write_official_grpo(
    records: Iterable[PreferenceRecord],
    folder: str | Path,
    *,
    dialect: Dialect = Dialect.V1,
    templates: str | PathLike[str] | None = None,
    embed: bool = True,
) -> int:
    """Write labelled records for the official GRPO trainers; return their number. `templates` as in `urt_core.render`.

    The chain-of-thought dialects have no tie, so that tied pairs need `Dialect.DIRECT`.
    """

    def row(record: PreferenceRecord) -> dict[str, Any]:
        if record.preference is None:
            raise DataError(f"record {record.key} has no preference; a GRPO row needs one, leave it out or label it")
        solution = verdict_text(record.task, record.preference, dialect=_dialect(dialect, record))
        return {"problem": render(record, dialect, templates=templates).text, "solution": solution}

    return _write_official(records, Path(folder), name="grpo_train_data.json", row=row, embed=embed)


def write_official_sft(
    records: Iterable[PreferenceRecord],
    folder: str | Path,
    *,
    dialect: Dialect = Dialect.V1,
    templates: str | PathLike[str] | None = None,
    embed: bool = True,
) -> int:
    """Write records with a completion for the official supervised trainers and return their number.

    Each image or frame has its `<image>` tag before the text. The official LLaVA loader takes more than two images for
    one video with one tag; its rows have to be made by hand.
    """

    def row(record: PreferenceRecord) -> dict[str, Any]:
        if record.completion is None:
            raise DataError(f"record {record.key} has no completion; a supervised row needs the judgement to imitate")
        prompt = IMAGE_TAG * len(_files(record)) + render(record, dialect, templates=templates).text
        turns = [{"from": "human", "value": prompt}, {"from": "gpt", "value": record.completion}]
        return {"conversations": turns, "source": record.metadata.get("source", "urt")}

    return _write_official(records, Path(folder), name="train_data.json", row=row, embed=embed)


def _dialect(dialect: Dialect, record: PreferenceRecord) -> Dialect:
    if record.preference is Preference.TIE and dialect is not Dialect.DIRECT:
        raise DataError(
            f"record {record.key} is a tie, which {dialect} cannot say; leave ties out or export with Dialect.DIRECT"
        )
    return dialect


def _write_official(
    records: Iterable[PreferenceRecord],
    folder: Path,
    *,
    name: str,
    row: Callable[[PreferenceRecord], dict[str, Any]],
    embed: bool,
) -> int:
    """One row a line inside a JSON array, media below `media/<key>/`; the JSON appears when it is complete."""
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    with temporary_path(folder / name).open("w", encoding="utf-8") as file:
        file.write("[")
        for record in records:
            values = row(record) | {"images": _write_media(record, folder)}
            if embed:
                values[EMBEDDED_RECORD] = json.dumps(record.to_json(), ensure_ascii=False, sort_keys=True)
            file.write(",\n" if number else "\n")
            file.write(json.dumps(values, ensure_ascii=False))
            number += 1
        file.write("\n]\n")
    _publish(folder / name)
    return number


def _publish(path: Path) -> None:
    with temporary_path(path).open("rb") as file:
        os.fsync(file.fileno())
    publish(temporary_path(path), path)


def _write_media(record: PreferenceRecord, folder: Path) -> list[str]:
    names = []
    for file, data in _files(record):
        path = folder / "media" / record.key / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        names.append(path.relative_to(folder).as_posix())
    return names


def _files(record: PreferenceRecord) -> list[tuple[str, bytes]]:
    """The media files of a record in order, named by their role."""
    files: list[tuple[str, bytes]] = []
    for role in ROLES:
        media = getattr(record, role)
        if not isinstance(media, Media):
            continue
        if not media.data:
            raise DataError(f"record {record.key}: {role} has no bytes; read it from its shard or source first")
        for index, (file, data) in enumerate(zip(media.files, media.data, strict=True)):
            suffix = file.rpartition(".")[2]
            files.append((f"{role}.{suffix}" if len(media.files) == 1 else f"{role}.f{index:04d}.{suffix}", data))
    return files


def write_parquet(records: Iterable[PreferenceRecord], path: str | Path) -> int:
    """Write records with their media into one Parquet file and return their number."""
    pa, pq = _arrow()
    schema = parquet_schema(pa)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    number = 0
    with pq.ParquetWriter(temporary_path(path), schema) as writer:
        group: list[dict[str, Any]] = []
        size = 0
        for record in records:
            group.append(_parquet_row(record))
            size += sum(len(data) for _, data in _files(record)) + len(record.text)
            number += 1
            if size >= PARQUET_GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                group, size = [], 0
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
    _publish(path)
    return number


def read_parquet(path: str | Path) -> Iterator[PreferenceRecord]:
    """The records that `write_parquet` wrote, one at a time."""
    _, pq = _arrow()
    with pq.ParquetFile(path, buffer_size=2**20, pre_buffer=False) as file:
        for batch in file.iter_batches(batch_size=32, use_threads=False):
            for row in batch.to_pylist():
                yield _parquet_record(row)


def parquet_schema(pa: Any) -> Any:
    """Candidates are text or media: one of `first_text` and `first` is set. Metadata, always different, are JSON."""
    media = pa.struct({"kind": pa.string(), "files": pa.list_(pa.string()), "data": pa.list_(pa.binary())})
    texts = ("key", "task", "text", "first_text", "second_text", "preference", "completion", "metadata")
    return pa.schema([*((name, pa.string()) for name in texts), *((role, media) for role in ROLES)])


def _parquet_row(record: PreferenceRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        "key": record.key,
        "task": str(record.task),
        "text": record.text,
        "preference": str(record.preference) if record.preference else None,
        "completion": record.completion,
        "metadata": json.dumps(dict(record.metadata), ensure_ascii=False, sort_keys=True),
    }
    for role in ROLES:
        value = getattr(record, role)
        if isinstance(value, Media):
            row[role] = {"kind": str(value.kind), "files": list(value.files), "data": list(value.data)}
        elif value is not None:
            row[f"{role}_text"] = value
    return row


def _parquet_record(row: dict[str, Any]) -> PreferenceRecord:
    document = {name: row[name] for name in ("key", "task", "text", "preference", "completion")}
    document["metadata"] = json.loads(row["metadata"])
    media = {role: row[role] for role in ROLES if row[role] is not None}
    for role in ("first", "second"):
        document[role] = row[f"{role}_text"] if role not in media else _media_json(media[role])
    if "media" in media:
        document["media"] = _media_json(media["media"])
    record = PreferenceRecord.from_json(document)
    return replace(
        record, **{role: replace(getattr(record, role), data=tuple(value["data"])) for role, value in media.items()}
    )


def _media_json(value: dict[str, Any]) -> dict[str, Any]:
    return {"kind": value["kind"], "files": value["files"]}


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise ConfigError("Parquet needs pyarrow; pip install 'urt-data[parquet]'") from error
    return pyarrow, pyarrow.parquet
