"""The labelled pairs of a benchmark: a folder of shards (`urt-data`), or rows of a file with a `preference`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from urt_core.cli.batch.inputs import Requests, open_shards
from urt_core.cli.batch.requests import Row, row_request
from urt_core.errors import ConfigError, DataError, UrtError
from urt_core.records import Preference, PreferenceRecord
from urt_core.scorer import Scorer

FIELDS = ("task", "text", "first", "second")
PREFERENCES = tuple(map(str, Preference))


class LabelledRecords:
    """LabelledRecords("outputs/tiny/data/test", scorer=scorer, limit=None); len(), iteration, and what identifies them"""

    def __init__(self, path: str | Path, *, scorer: Scorer, limit: int | None = None) -> None:
        if limit is not None and limit < 1:
            raise ConfigError(f"--limit is {limit}; it must be at least 1, or be left out")
        self.path, self.scorer, self.limit = Path(path), scorer, limit
        self.requests = Requests(path)
        if not len(self.requests):
            raise DataError(f"{self.path} holds no pairs; name a folder of shards or rows with a preference")
        self.shards: Any = open_shards(self.path) if self.path.is_dir() else None

    def __len__(self) -> int:
        found = len(self.requests)
        return found if self.limit is None else min(found, self.limit)

    def __iter__(self) -> Iterator[PreferenceRecord]:
        yield from islice(self._all(), self.limit)

    def about(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "fingerprint": self.requests.fingerprint(),
            "num_in_set": len(self.requests),
            "limit": self.limit,
        }

    def shared(self) -> Iterable[PreferenceRecord]:
        """What can be read from the middle where it can be, so that each process reads its own share alone."""
        return self.sequence() if self.shards is not None and self.limit is None else self

    def sequence(self) -> Sequence[PreferenceRecord]:
        """All of them, in reach."""
        if self.shards is not None and self.limit is None and isinstance(self.shards, Sequence):
            return _Labelled(self.shards, self.path)
        return list(self)

    def _all(self) -> Iterator[PreferenceRecord]:
        if self.shards is not None:
            yield from (labelled(record, self.path) for record in self.shards)
            return
        for number, (key, row) in enumerate(self.requests, start=1):
            try:
                yield self._labelled(key, row)
            except UrtError as error:
                raise DataError(
                    f"{self.path}, row {number}: {error}; a benchmark needs all of its rows: mend or remove it"
                ) from error

    def _labelled(self, key: str, row: Row) -> PreferenceRecord:
        found = self.scorer.record(key=key, **row_request(row, FIELDS, key))
        if not isinstance(found, PreferenceRecord):
            raise DataError(f"{key} can't be judged ({found.detail})")
        assert isinstance(row, Mapping)  # else there would be no request
        if (label := row.get("preference")) not in PREFERENCES:
            said = "no preference" if label is None else f"the preference {label!r:.60}"
            raise DataError(f"{key} has {said}; allowed: {', '.join(PREFERENCES)}")
        facts = row.get("metadata") or {}
        if not isinstance(facts, Mapping):
            raise DataError(f"{key} has metadata {facts!r:.60}, which is no object")
        return replace(found, preference=Preference(label), metadata=facts)


class _Labelled(Sequence[PreferenceRecord]):
    def __init__(self, shards: Sequence[PreferenceRecord], path: Path) -> None:
        self.shards, self.path = shards, path

    def __len__(self) -> int:
        return len(self.shards)

    def __getitem__(self, place: Any) -> Any:
        return labelled(self.shards[place], self.path)


def labelled(record: PreferenceRecord, path: Path) -> PreferenceRecord:
    if record.preference is None:
        raise DataError(
            f"{path}: record {record.key!r} has no preference; a benchmark needs one for each pair: first, second or tie"
        )
    return record
