"""A shard that is hashed and written by a thread of its own while the next records are made: hashing and writing leave
Python free."""

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import Full, Queue

from urt_core.records import PreferenceRecord
from urt_data.shards.index import ShardEntry
from urt_data.shards.open_shard import OpenShard

RECORDS_AHEAD = 32
"""Records that wait for the thread at most; more would only cost memory."""
WAIT_SECONDS = 0.05
END, ABORT = object(), object()


class BackgroundShard:
    """The interface of `OpenShard`; `finish` returns at once and `entry` waits for the result. An error of the thread
    is raised by the next call."""

    def __init__(self, path: Path, pool: ThreadPoolExecutor) -> None:
        self.name = path.name
        self.num_samples = 0
        self._queue: Queue[object] = Queue(maxsize=RECORDS_AHEAD)
        self._result: Future[ShardEntry | None] = pool.submit(_write, path, self._queue)

    def write(self, record: PreferenceRecord) -> None:
        self._put(record)
        self.num_samples += 1

    def finish(self) -> None:
        self._put(END)

    def entry(self) -> ShardEntry:
        entry = self._result.result()
        assert entry is not None
        return entry

    def abort(self) -> None:
        """Give up this shard; whatever its thread says about it no longer matters."""
        while not self._result.done():
            try:
                self._queue.put(ABORT, timeout=WAIT_SECONDS)
                return
            except Full:
                continue

    def _put(self, item: object) -> None:
        while True:
            if self._result.done():
                self._result.result()
            try:
                return self._queue.put(item, timeout=WAIT_SECONDS)
            except Full:
                continue  # the thread is behind, or it failed


def _write(path: Path, queue: "Queue[object]") -> ShardEntry | None:
    shard = OpenShard(path)
    try:
        while (item := queue.get()) is not END:
            if item is ABORT:
                return None
            assert isinstance(item, PreferenceRecord)
            shard.write(item)
        return shard.finish()
    finally:
        shard.abort()
