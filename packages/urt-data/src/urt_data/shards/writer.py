"""Records -> shards. A shard appears under its name only when it is complete, and the manifest only when all shards are."""

import shutil
from collections import deque
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from urt_core.atomic import remove_temporaries, write_atomically
from urt_core.records import PreferenceRecord
from urt_data.duplicates.repeats import SeenRecords
from urt_data.errors import ShardError
from urt_data.shards.addresses import finish_upload, is_address, start_upload
from urt_data.shards.background import BackgroundShard
from urt_data.shards.index import MANIFEST_NAME, Manifest, Repaired, ShardEntry
from urt_data.shards.open_shard import OpenShard, index_path


class ShardWriter:
    """Write records in order into `folder`, or to an address of fsspec; use it as a context manager, an error inside leaves no manifest behind.

    Equal records give equal bytes. Media without bytes are read from the paths they name. With `num_threads`, shards are hashed and
    written beside the making of records; that pays for large media.

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
        num_threads: int = 0,
    ) -> None:
        if samples_per_shard < 1 or num_threads < 0:
            raise ShardError(
                f"samples_per_shard is {samples_per_shard} and num_threads {num_threads}; need at least 1 and 0"
            )
        self._address = str(folder) if is_address(folder) else None
        self.folder = Path(folder) if self._address is None else start_upload(self._address, overwrite=overwrite)
        """Where the files are written; of an address, a temporary folder that is uploaded at the end."""
        self._samples_per_shard = samples_per_shard
        self._metadata = dict(metadata or {})
        self._pool = ThreadPoolExecutor(num_threads) if num_threads else None
        self._num_threads = num_threads
        self._num_shards = 0
        self._shard: OpenShard | BackgroundShard | None = None
        self._finishing: deque[BackgroundShard] = deque()
        self._entries: list[ShardEntry] = []
        self.repaired: Repaired | None = None
        """What the folder is the rest of, known when the last record is written."""
        self._seen = SeenRecords()
        prepare_folder(self.folder, overwrite=overwrite)

    def write(self, record: PreferenceRecord) -> None:
        if self._shard is None:
            self._shard = self._open_shard()
        self._shard.write(record)
        self._seen.add(self._shard.name, record.key, 0)
        if self._shard.num_samples == self._samples_per_shard:
            self._finish_shard()

    def cut(self) -> None:
        """Begin a new shard; two cuts in a row leave an empty one between them."""
        if self._shard is None:
            self._shard = self._open_shard()
        self._finish_shard()

    def close(self) -> None:
        """Finish the last shard and write the manifest. Called by leaving the `with` block."""
        if self._shard is not None:
            self._finish_shard()
        self._collect(leave=0)
        self._refuse_repeated_keys()
        finish_folder(self.folder, self._entries, self._metadata, repaired=self.repaired)
        if self._address is not None:
            finish_upload(self.folder, self._address, replace=True)

    def abort(self) -> None:
        """Drop the shard in progress; finished shards stay, without a manifest they are not read."""
        if self._shard is not None:
            self._shard.abort()
            self._shard = None
        if self._pool is not None:
            self._pool.shutdown()
        if self._address is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _open_shard(self) -> OpenShard | BackgroundShard:
        path = self.folder / shard_name(self._num_shards)
        self._num_shards += 1
        if self._pool is None:
            return OpenShard(path)
        self._collect(leave=self._num_threads - 1)
        return BackgroundShard(path, self._pool)

    def _finish_shard(self) -> None:
        shard, self._shard = self._shard, None
        if isinstance(shard, BackgroundShard):
            shard.finish()
            self._finishing.append(shard)
        elif shard is not None:
            try:
                self._entries.append(shard.finish())
            except OSError:  # a full disk, most often
                shard.abort()
                raise
        # At every doubling: early enough to save hours, seldom enough to cost nothing.
        if self._num_shards.bit_count() == 1:
            self._refuse_repeated_keys()

    def _collect(self, *, leave: int) -> None:
        """Wait until at most `leave` shards are still being finished."""
        while len(self._finishing) > leave:
            self._entries.append(self._finishing.popleft().entry())

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
        try:
            if kind is None:
                self.close()
        finally:
            self.abort()


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


def finish_folder(
    folder: Path, entries: list[ShardEntry], metadata: Mapping[str, Any], *, repaired: Repaired | None = None
) -> Manifest:
    """Remove shards of an earlier, longer run and write the manifest."""
    expected = {entry.name for entry in entries}
    for path in folder.glob("shard-*.tar"):
        if path.name not in expected:
            index_path(path).unlink(missing_ok=True)
            path.unlink()
    manifest = Manifest(shards=tuple(entries), metadata=metadata, repaired=repaired)
    write_atomically(folder / MANIFEST_NAME, manifest.to_bytes())
    return manifest


def shard_name(number: int) -> str:
    return f"shard-{number:06d}.tar"
