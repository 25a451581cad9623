"""Existing webdataset tars with any keys: a sample is a row, its members are columns.

    photos/Cat_01.first.png, photos/Cat_01.second.png, photos/Cat_01.json {"label": 0}, photos/Cat_01.txt "a cat"
        -->  {"first": bytes, "first.png": bytes, "second": ..., "label": 0, "txt": "a cat"}

    urt-data convert data=webdataset input=tars columns.text=txt columns.preference=label preferences.0=first preferences.1=second

Keys may hold folders, capitals, underscores; as in webdataset, a key ends at the first dot of the file's name. The
fields of a sample's JSON object are columns of their own. What is no text, JSON, image or video (pickles, arrays) is
never read. All settings are those of `generic`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from urt_core.errors import DataError
from urt_data.shards.sample import read_document
from urt_data.shards.tar import IMAGE_SUFFIXES, MAX_MEMBER_BYTES, MAX_SAMPLE_MEMBERS, VIDEO_SUFFIXES
from urt_data.sources.folder import InputFolder, natural_order
from urt_data.sources.own.generic import generic
from urt_data.sources.reading.packed import Packed, find_packed
from urt_data.sources.reading.tar_members import DamagedTarError, TarMember, walk
from urt_data.sources.rows import BadRow, FieldError, Row
from urt_data.sources.source import Source

MEDIA = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
TEXTS = ("txt", "text", "caption", "cls", "transcript")
FRAME = re.compile(r"(?P<role>.+)\.f?\d+")
FILES = ("**/*.tar", "**/*.tar.gz", "**/*.tgz", "**/*.tar.xz", "**/*.tar.zst", "**/*.tar.bz2")


def webdataset(*, name: str = "webdataset", **options: Any) -> Source:
    """A source for tars of others; `options` are those of `generic`."""
    return replace(generic(name=name, **options), files=FILES, read=read_samples)


def read_samples(folder: InputFolder, name: str, path: Path) -> Iterator[Row | BadRow]:
    """One row a sample, in the order of the tar; members are read when a column is asked for."""
    with _packed(path).open() as file:
        seen: set[str] = set()
        number, key, members = 0, None, []
        try:
            for member in walk(file):
                found = member.name.rpartition("/")[0] + "/" + member.name.rpartition("/")[2].partition(".")[0]
                if found != key:
                    if members:
                        yield _row(name, number, key, members, file, seen)
                        number += 1
                    key, members = found, []
                if len(members) < MAX_SAMPLE_MEMBERS:
                    members.append(member)
        except DamagedTarError as error:
            raise DataError(f"{name} is a damaged tar file ({error}); download it again") from error
        if members:
            yield _row(name, number, key, members, file, seen)


def columns_of(sample: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one sample by suffix, as `webdataset` gives it: {"json": bytes, "first.png": bytes, ...}."""
    columns: dict[str, Any] = {}
    frames: dict[str, list[tuple[str, bytes]]] = {}
    for suffix, content in sample.items():
        role, _, kind = suffix.lower().rpartition(".")
        if suffix.startswith("__") or not isinstance(content, bytes | str | dict):
            continue
        if kind == "json":
            columns.update(_fields(content, suffix))
        elif kind in TEXTS:
            columns[suffix] = content.decode(errors="replace").strip() if isinstance(content, bytes) else content
        elif kind in MEDIA and isinstance(content, bytes):
            columns[suffix] = content
            if role:
                columns.setdefault(role, content)
                if frame := FRAME.fullmatch(role):
                    frames.setdefault(frame["role"], []).append((suffix, content))
    for role, found in frames.items():
        columns.setdefault(role, [content for _, content in sorted(found, key=lambda item: natural_order(item[0]))])
    return columns


def _row(
    name: str, number: int, key: str | None, members: list[TarMember], file: IO[bytes], seen: set[str]
) -> Row | BadRow:
    key = (key or "").lstrip("/")
    try:
        if key in seen:
            raise FieldError(
                "row", f"the members of sample {key!r} are not side by side; webdataset reads half samples there"
            )
        seen.add(key)
        here = {member.name.rpartition("/")[2].partition(".")[2]: member for member in members if not member.refused}
        sample = {suffix: _content(file, member) for suffix, member in here.items() if _is_read(suffix)}
        return Row(file=name, number=number, values={"__key__": key, **columns_of(sample)})
    except FieldError as error:
        return BadRow(file=name, number=number, error=error)


def _is_read(suffix: str) -> bool:
    return suffix.lower().rpartition(".")[2] in (*MEDIA, *TEXTS, "json")


def _content(file: IO[bytes], member: TarMember) -> bytes:
    if member.size > MAX_MEMBER_BYTES:
        raise FieldError(member.name, f"has {member.size:,} bytes; allowed are {MAX_MEMBER_BYTES:,}")
    position = file.tell()
    file.seek(member.offset)
    content = file.read(member.size)
    file.seek(position)
    return content


def _fields(content: Any, suffix: str) -> Mapping[str, Any]:
    if isinstance(content, dict):
        return content
    try:
        document = json.loads(content) if isinstance(content, str) else read_document(content)
    except (ValueError, RecursionError) as error:
        raise FieldError(suffix, f"is no JSON object ({error})") from error
    if not isinstance(document, dict):
        raise FieldError(suffix, f"is a {type(document).__name__}; a JSON object gives its fields as columns")
    return document


def _packed(path: Path) -> Packed:
    return next(packed for packed in find_packed(path.parent) if path in packed.paths)
