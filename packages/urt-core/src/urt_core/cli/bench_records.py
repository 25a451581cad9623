"""The labelled pairs of a benchmark: a folder of shards (`urt-data`), or rows of a file with a `preference`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from urt_core.cli.inputs import BadRow, Requests, open_shards
from urt_core.errors import DataError
from urt_core.records import Preference, PreferenceRecord
from urt_core.scorer import Scorer


class LabelledRecords:
    """LabelledRecords("outputs/tiny/data/test", scorer=scorer, limit=None); len(), iteration, and what identifies them"""

    def __init__(self, path: str | Path, *, scorer: Scorer, limit: int | None = None) -> None:
        self.path, self.scorer, self.limit = Path(path), scorer, limit
        self.requests = Requests(path)
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
        for key, row in self.requests:
            if isinstance(row, BadRow):
                raise DataError(f"{row.detail}; a benchmark needs all of its rows: mend or remove it")
            if row.get("preference") is None:
                raise DataError(
                    f"{self.path}: row {key} has no preference; a benchmark needs one for each pair: first, second or tie"
                )
            found = self.scorer.record(
                key=key, **{name: row[name] for name in ("task", "text", "first", "second", "media") if name in row}
            )
            if not isinstance(found, PreferenceRecord):
                raise DataError(f"{self.path}: row {key} can't be judged ({found.detail}); mend or remove it")
            yield replace(found, preference=Preference(row["preference"]), metadata=row.get("metadata") or {})


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
