"""Find samples in tar files that nothing describes any more, past whatever damage lies between them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from urt_core.errors import MediaError
from urt_core.records import PreferenceRecord
from urt_data.errors import ShardError
from urt_data.shards.sample import from_members
from urt_data.shards.storage import open_regular
from urt_data.shards.tar import BLOCK, RECORD_SUFFIX, padded, read_header
from urt_data.upkeep.verify import check_media


def salvage_records(paths: Iterable[Path], *, decode: bool) -> Iterator[PreferenceRecord]:
    """Every record that reads well, the first of each key."""
    keys: set[str] = set()
    for path in paths:
        with open(open_regular(path), "rb") as file:
            for key, members in _samples(file):
                try:
                    record = from_members(members, key=key)
                    if decode:
                        check_media(record)
                except (ShardError, MediaError):
                    continue  # what cannot be read is what salvaging leaves behind
                if key not in keys:
                    keys.add(key)
                    yield record


def _samples(file: BinaryIO) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Runs of readable members that begin with a record; unreadable blocks are stepped over one by one."""
    key, members = "none", {}
    while len(block := file.read(BLOCK)) == BLOCK:
        try:
            header = read_header(block, position=file.tell() - BLOCK)
        except ShardError:
            continue  # no header here: content, damage or the end of the archive
        position = file.tell()
        content = file.read(header.size)
        if len(content) < header.size:
            file.seek(position)  # a damaged size: look for the next header right behind this one
            continue
        file.seek(padded(header.size) - header.size, 1)
        if header.suffix == RECORD_SUFFIX:
            if members:
                yield key, members
            key, members = header.key, {}
        if header.key == key:
            members[header.suffix] = content
    if members:
        yield key, members
