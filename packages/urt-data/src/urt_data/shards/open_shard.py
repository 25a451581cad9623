"""One shard while it is written: sample by sample into a temporary file that gets its name when it is complete."""

import os
from contextlib import suppress
from pathlib import Path

from urt_core.atomic import publish, temporary_path, write_atomically
from urt_core.records import PreferenceRecord
from urt_data.shards.index import INDEX_SUFFIX, ShardEntry
from urt_data.shards.sample import to_members
from urt_data.shards.summary import ShardSummary
from urt_data.shards.tar import END_OF_ARCHIVE, pack_sample


class OpenShard:
    """One shard while it is written: a temporary file that `finish` gives its name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = temporary_path(path).open("wb")
        self._summary = ShardSummary(path.name)

    @property
    def name(self) -> str:
        return self._path.name

    @property
    def num_samples(self) -> int:
        return len(self._summary.keys)

    def write(self, record: PreferenceRecord) -> None:
        # Joined before anything is written: a record that cannot be packed leaves no half sample behind.
        packed = b"".join(pack_sample(record.key, to_members(record)))
        self._summary.add(record, packed)
        self._file.write(packed)

    def finish(self) -> ShardEntry:
        """Sync and publish the tar, then its index; what the manifest says about them is returned."""
        self._file.write(END_OF_ARCHIVE)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        index, entry = self._summary.finish(END_OF_ARCHIVE)
        publish(temporary_path(self._path), self._path)
        write_atomically(index_path(self._path), index)
        return entry

    def abort(self) -> None:
        with suppress(OSError):  # what a full disk did not take yet is not wanted any more
            self._file.close()
        temporary_path(self._path).unlink(missing_ok=True)


def index_path(path: Path) -> Path:
    return path.with_name(path.name + INDEX_SUFFIX)
