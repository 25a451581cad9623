"""A `PreferenceRecord` as the members of one sample, and back.

    record with Media.files=("photos/cat.PNG",)  ->  json, first.png, second.png  ->  record with Media.files=("first.png",) and bytes

Inside a sample files are named by their role, so that a shard says nothing about the machine it was made on.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from urt_core.errors import RecordError
from urt_core.media.frames import encoded_bytes
from urt_core.media.limits import MediaLimits
from urt_core.records import Media, PreferenceRecord
from urt_data.errors import ShardError
from urt_data.shards.tar import ALLOWED_SUFFIXES, MAX_MEMBER_BYTES, RECORD_SUFFIX, Member

STORED_LIMITS = MediaLimits(max_file_bytes=MAX_MEMBER_BYTES)
MAX_DEPTH = 100
"""Of nested JSON; a record nests three levels, its metadata hardly more."""
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
BRACKETS = re.compile(rb"[\[\]{}]")
STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.S)
ROLES = ("first", "second", "media", "source")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number that JSON has")


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Made once: `json.loads` with a setting would make one for every record."""


def to_members(record: PreferenceRecord) -> list[Member]:
    """The members of one sample: the record's JSON, then its media in the order first, second, media, source, frame by frame."""
    stored: dict[str, Media] = {}
    files: list[Member] = []
    for role in ROLES:
        media = getattr(record, role)
        if isinstance(media, Media):
            names = _member_names(media, role, key=record.key)
            stored[role] = Media(kind=media.kind, files=names)
            files += [(name, encoded_bytes(media, index, limits=STORED_LIMITS)) for index, name in enumerate(names)]
    document = replace(record, **stored).to_json()
    try:
        text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ShardError(
            f"record {record.key} cannot be written as JSON ({error}); mend its text or metadata"
        ) from error
    return [(RECORD_SUFFIX, text), *files]


def from_members(members: Mapping[str, bytes], *, key: str) -> PreferenceRecord:
    """The record of one sample with the bytes of its media filled in."""
    if RECORD_SUFFIX not in members:
        raise ShardError(f"it has no {key}.{RECORD_SUFFIX}")
    try:
        document = read_document(members[RECORD_SUFFIX])
        media = {role: _media(document[role], members) for role in ROLES if isinstance(document.get(role), dict)}
        # Built once, with the bytes: this is the inner loop of reading.
        record = PreferenceRecord(**{**document, **media})
    except (ValueError, RecordError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ShardError(f"{key}.{RECORD_SUFFIX} is not a preference record: {error}") from error
    if record.key != key:
        raise ShardError(f"{key}.{RECORD_SUFFIX} calls itself {record.key!r}")
    return record


def read_document(content: bytes) -> dict[str, Any]:
    """The JSON of a record; what could not be written again (half a surrogate pair, NaN, deep nesting) is a ValueError."""
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH and _depth(content) > MAX_DEPTH:
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
    document = DECODER.decode(content.decode())
    if not isinstance(document, dict) or not isinstance(document.get("metadata", {}), dict):
        raise ValueError("it, or its metadata, is no JSON object")
    if SURROGATE.search(content):
        # One half alone has no UTF-8; both halves together are a character.
        json.dumps(document, ensure_ascii=False).encode()
    return document


def _depth(content: bytes) -> int:
    """How deep brackets nest outside of strings."""
    depth = deepest = 0
    for mark in BRACKETS.findall(STRING.sub(b"", content)):
        depth += 1 if mark in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _media(document: Mapping[str, Any], members: Mapping[str, bytes]) -> Media:
    missing = [name for name in document["files"] if name not in members]
    if missing:
        raise ShardError(
            f"its media {', '.join(map(str, missing))} are not in the shard; it holds {', '.join(sorted(members))}"
        )
    return Media(
        **{**document, "files": tuple(document["files"])}, data=tuple(members[name] for name in document["files"])
    )


def _member_names(media: Media, role: str, *, key: str) -> tuple[str, ...]:
    suffixes = [PurePosixPath(name).suffix[1:].lower() for name in media.files]
    for name, suffix in zip(media.files, suffixes, strict=True):
        if suffix not in ALLOWED_SUFFIXES or suffix == RECORD_SUFFIX:
            allowed = ", ".join(sorted(ALLOWED_SUFFIXES - {RECORD_SUFFIX}))
            raise ShardError(f"record {key}: {role} file {name!r} has suffix {suffix!r}; allowed: {allowed}")
    if len(suffixes) == 1:
        return (f"{role}.{suffixes[0]}",)
    digits = max(2, len(str(len(suffixes) - 1)))
    return tuple(f"{role}.f{index:0{digits}d}.{suffix}" for index, suffix in enumerate(suffixes))
