"""Records -> shards. A shard appears under its name only when it is complete, and the manifest only when all shards are."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from urt_core.records import PreferenceRecord
from urt_data.errors import ShardError
from urt_data.shards.atomic import publish, remove_temporaries, temporary_path, write_atomically
from urt_data.shards.index import INDEX_SUFFIX, MANIFEST_NAME, Manifest, ShardEntry, ShardIndex, sha256
from urt_data.shards.sample import to_members
from urt_data.shards.tar import END_OF_ARCHIVE, pack_sample

UNLABELLED = "unlabelled"


class ShardWriter:
    """Write records in order into `folder`; use it as a context manager, an error inside leaves no manifest behind.

    Equal records give equal bytes. Media without bytes are read from the paths they name.

        with ShardWriter("pairs", samples_per_shard=1000, metadata={"source": "mine", "licence": "CC0-1.0"}) as shards:
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
        self._keys = KeyLedger()
        prepare_folder(self.folder, overwrite=overwrite)

    def write(self, record: PreferenceRecord) -> None:
        if self._shard is None:
            self._shard = OpenShard(self.folder / shard_name(len(self._entries)))
        self._shard.write(record)
        if self._shard.num_samples == self._samples_per_shard:
            self._finish_shard()

    def close(self) -> None:
        """Finish the last shard and write the manifest. Called by leaving the `with` block."""
        if self._shard is not None:
            self._finish_shard()
        finish_folder(self.folder, self._entries, self._metadata)

    def abort(self) -> None:
        """Drop the shard in progress; finished shards stay, without a manifest they are not read."""
        if self._shard is not None:
            self._shard.abort()
            self._shard = None

    def _finish_shard(self) -> None:
        assert self._shard is not None
        self._keys.add(self._shard.keys)
        self._entries.append(self._shard.finish())
        self._shard = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class OpenShard:
    """One shard while it is written: a temporary file that `finish` gives its name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = temporary_path(path).open("wb")
        self._digest = hashlib.sha256()
        self._num_bytes = 0
        self._columns: list[tuple[int, int, bytes]] = []  # offset, size, digest
        self._tasks: list[str] = []
        self._preferences: Counter[str] = Counter()
        self.keys: dict[str, None] = {}

    @property
    def num_samples(self) -> int:
        return len(self.keys)

    def write(self, record: PreferenceRecord) -> None:
        if record.key in self.keys:
            raise ShardError(
                f"key {record.key!r} is written twice into {self._path.name}; keys must be unique in a data set"
            )
        # Joined before anything is written: a record that cannot be packed leaves no half sample behind.
        packed = b"".join(pack_sample(record.key, to_members(record)))
        self._columns.append((self._num_bytes, len(packed), hashlib.sha256(packed).digest()))
        self._tasks.append(str(record.task))
        self._preferences[str(record.preference) if record.preference else UNLABELLED] += 1
        self.keys[record.key] = None
        self._append(packed)

    def finish(self) -> ShardEntry:
        """Sync and publish the tar, then its index; what the manifest says about them is returned."""
        self._append(END_OF_ARCHIVE)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        index = self._index()
        content = index.to_bytes()
        publish(temporary_path(self._path), self._path)
        write_atomically(index_path(self._path), content)
        return ShardEntry(
            name=self._path.name,
            num_samples=len(index.keys),
            num_bytes=self._num_bytes,
            sha256=index.sha256,
            index_sha256=sha256(content),
            tasks=dict(sorted(Counter(self._tasks).items())),
            preferences=dict(sorted(self._preferences.items())),
        )

    def abort(self) -> None:
        self._file.close()
        temporary_path(self._path).unlink()

    def _append(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self._num_bytes += len(content)

    def _index(self) -> ShardIndex:
        task_names = sorted(set(self._tasks))
        return ShardIndex(
            shard=self._path.name,
            num_bytes=self._num_bytes,
            sha256=self._digest.hexdigest(),
            keys=list(self.keys),
            offsets=np.array([offset for offset, _, _ in self._columns], dtype=np.int64),
            sizes=np.array([size for _, size, _ in self._columns], dtype=np.int64),
            digests=np.frombuffer(b"".join(digest for _, _, digest in self._columns), dtype=np.uint8).reshape(-1, 32),
            task_names=task_names,
            tasks=np.array([task_names.index(task) for task in self._tasks], dtype=np.uint8),
        )


class KeyLedger:
    """Every key of a data set as eight bytes, to find one that two shards share without holding the keys."""

    def __init__(self) -> None:
        self._shards: list[np.ndarray] = []

    def add(self, keys: Iterable[str]) -> None:
        self._shards.append(np.sort(np.array([_short_digest(key) for key in keys], dtype=np.uint64)))
        # Shards come with doubling sizes of merged runs, so that a million keys are sorted a few times, not a thousand.
        while len(self._shards) > 1 and len(self._shards[-1]) >= len(self._shards[-2]):
            merged = np.sort(np.concatenate(self._shards[-2:]))
            self._shards[-2:] = [merged]
            self._refuse_repeats(merged)

    def check(self) -> None:
        if self._shards:
            self._refuse_repeats(np.sort(np.concatenate(self._shards)))

    @staticmethod
    def _refuse_repeats(digests: np.ndarray) -> None:
        if (digests[1:] == digests[:-1]).any():
            raise ShardError(
                "two shards hold a sample with the same key; make keys unique in the data set, such as <source>-<row>"
            )


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


def _short_digest(key: str) -> int:
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
