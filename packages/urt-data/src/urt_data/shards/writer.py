"""Records -> shards. A shard appears under its name only when it is complete, and the manifest only when all shards are."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from urt_core.records import PreferenceRecord
from urt_data.errors import ShardError
from urt_data.repeats import SeenRecords
from urt_data.shards.atomic import publish, remove_temporaries, temporary_path, write_atomically
from urt_data.shards.index import INDEX_SUFFIX, MANIFEST_NAME, Manifest, ShardEntry
from urt_data.shards.sample import to_members
from urt_data.shards.summary import ShardSummary
from urt_data.shards.tar import END_OF_ARCHIVE, pack_sample


class ShardWriter:
    """Write records in order into `folder`; use it as a context manager, an error inside leaves no manifest behind.

    Equal records give equal bytes. Media without bytes are read from the paths they name.

        with ShardWriter("pairs", samples_per_shard=1000, metadata={"name": "my pairs", "purpose": "train"}) as shards:
            shards.write(record)
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        samples_per_shard: int = 1000,
        metadata: Mapping[str, Any] | None = None,
        overwrite: bool = False,
    ) -> None:
        if samples_per_shard < 1:
            raise ShardError(f"samples_per_shard is {samples_per_shard}; it must be at least 1")
        self.folder = Path(folder)
        self._samples_per_shard = samples_per_shard
        self._metadata = dict(metadata or {})
        self._entries: list[ShardEntry] = []
        self._shard: OpenShard | None = None
        self._seen = SeenRecords()
        prepare_folder(self.folder, overwrite=overwrite)

    def write(self, record: PreferenceRecord) -> None:
        if self._shard is None:
            self._shard = OpenShard(self.folder / shard_name(len(self._entries)))
        self._shard.write(record)
        self._seen.add(self._shard.name, record.key, 0)
        if self._shard.num_samples == self._samples_per_shard:
            self._finish_shard()

    def close(self) -> None:
        """Finish the last shard and write the manifest. Called by leaving the `with` block."""
        if self._shard is not None:
            self._finish_shard()
        self._refuse_repeated_keys()
        finish_folder(self.folder, self._entries, self._metadata)

    def abort(self) -> None:
        """Drop the shard in progress; finished shards stay, without a manifest they are not read."""
        if self._shard is not None:
            self._shard.abort()
            self._shard = None

    def _finish_shard(self) -> None:
        assert self._shard is not None
        self._entries.append(self._shard.finish())
        self._shard = None
        # At every doubling: early enough to save hours, seldom enough to cost nothing.
        if len(self._entries).bit_count() == 1:
            self._refuse_repeated_keys()

    def _refuse_repeated_keys(self) -> None:
        for (shard, key), (other, _) in self._seen.repeated_keys():
            raise ShardError(
                f"key {key!r} is in {other} and in {shard}; keys must be unique in a data set, such as <source>-<row>"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.abort()
            return
        try:
            self.close()
        finally:
            self.abort()


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
        self._file.close()
        temporary_path(self._path).unlink(missing_ok=True)


def prepare_folder(folder: Path, *, overwrite: bool) -> None:
    """Make `folder` ready for a new data set: no manifest until it is finished, nothing left of an interrupted run."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST_NAME
    if manifest.exists():
        if not overwrite:
            raise ShardError(
                f"{folder} already holds a finished data set; choose another folder or pass overwrite=True"
            )
        manifest.unlink()
    remove_temporaries(folder)


def finish_folder(folder: Path, entries: list[ShardEntry], metadata: Mapping[str, Any]) -> Manifest:
    """Remove shards of an earlier, longer run and write the manifest."""
    expected = {entry.name for entry in entries}
    for path in folder.glob("shard-*.tar"):
        if path.name not in expected:
            index_path(path).unlink(missing_ok=True)
            path.unlink()
    manifest = Manifest(shards=tuple(entries), metadata=metadata)
    write_atomically(folder / MANIFEST_NAME, manifest.to_bytes())
    return manifest


def shard_name(number: int) -> str:
    return f"shard-{number:06d}.tar"


def index_path(path: Path) -> Path:
    return path.with_name(path.name + INDEX_SUFFIX)
