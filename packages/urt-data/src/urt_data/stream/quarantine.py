"""Bad samples are set aside, counted and written down; too many of them end the run."""

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from urt_core.atomic import append, whole_lines, write_whole
from urt_data.errors import QuarantineError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class BadSample:
    """A sample that could not be read.

    BadSample(position=1037, shard="shard-000001.tar", key="pair-37", reason="its bytes do not match their sha256")
    """

    position: int
    shard: str
    key: str
    reason: str


SampleName = tuple[str, str]
"""(shard, key)"""


def written_down(file: Path) -> set[SampleName]:
    """The bad samples that a quarantine file names; none where there is no file."""
    lines = [json.loads(line) for line in whole_lines(file)]
    return {(line["shard"], line["key"]) for line in lines}


class Quarantine:
    """The budget of bad samples of one run, and the file they are written to.

        Quarantine(file="outputs/tiny/quarantine.jsonl", max_share=0.01, max_consecutive=20)

    The share is one of reads and counts from `grace` of them on: before that `max_share * grace` bad ones are allowed.
    One bad sample in a thousand is bit rot; twenty in a row are a broken mount or a wrong folder. Each rank keeps its
    own budget. A sample that is read again is in `samples`, and in the file, once; `known` are those of an earlier
    process of the run.
    """

    def __init__(
        self,
        *,
        file: str | Path | None = None,
        max_share: float = 0.01,
        max_consecutive: int = 20,
        grace: int = 1000,
        known: Iterable[SampleName] = (),
    ) -> None:
        if not 0 <= max_share <= 1 or max_consecutive < 0 or grace < 1:
            raise QuarantineError(
                f"max_share={max_share} must lie in [0, 1], max_consecutive={max_consecutive} be at least 0 and grace={grace} at least 1"
            )
        self._file = Path(file) if file is not None else None
        if self._file is not None and self._file.exists():  # without the half line that a kill may have left
            write_whole(self._file, "".join(whole_lines(self._file)))
        self._max_share = max_share
        self._max_consecutive = max_consecutive
        self._grace = grace
        self._consecutive = 0
        self.num_read: int = 0
        self.num_bad: int = 0
        """Reads, not samples."""
        self.samples: set[SampleName] = set(known)

    def account(self, outcomes: Iterable[BadSample | None]) -> None:
        """Count the outcomes of reads in order: None for a good sample. Raises once the budget is spent."""
        for bad in outcomes:
            self.num_read += 1
            if bad is None:
                self._consecutive = 0
                continue
            self.num_bad += 1
            self._consecutive += 1
            if (bad.shard, bad.key) not in self.samples:
                self.samples.add((bad.shard, bad.key))
                self._write_down(bad)
            self._check(bad)

    def _write_down(self, bad: BadSample) -> None:
        logger.warning("quarantined sample %s of %s: %s", bad.key, bad.shard, bad.reason)
        if self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            append(self._file, json.dumps(asdict(bad), ensure_ascii=False) + "\n")

    def _check(self, bad: BadSample) -> None:
        allowed = self._max_share * max(self.num_read, self._grace)
        if self.num_bad > allowed:
            limit = f"more than max_share={self._max_share:g}"
        elif self._consecutive > self._max_consecutive:
            limit = f"{self._consecutive} in a row, allowed are {self._max_consecutive}"
        else:
            return
        raise QuarantineError(
            f"{self.num_bad} of {self.num_read:,} samples are bad ({limit}); the last is {bad.key} of {bad.shard}: {bad.reason}. "
            "Look with `urt-data verify`, cure with `urt-data repair`, or raise the budget"
        )
