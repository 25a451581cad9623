"""Labelled pairs and a teacher in, a shard of judgements to imitate out: the data of the cold start.

A trace is kept only where its parsed verdict equals the label (arXiv 2505.03318, section 3: of 10K pairs about 5K
stay). What was kept, and what was dropped for which reason, is counted per task and written into the manifest of the
shard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from urt_core import (
    AsyncEngine,
    Dialect,
    Engine,
    ParseFailure,
    Preference,
    PreferenceRecord,
    SamplingParams,
    Task,
)
from urt_core.bench.table import Table
from urt_core.bench.tables import task_title
from urt_core.errors import DataError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked, judge
from urt_core.judging.pairs import JudgedPair, read_completion
from urt_core.progress_bar import ProgressBar
from urt_core.prompts import verdict_text
from urt_core.records import key_with
from urt_data.shards import ShardWriter

DIALECT = "dialect"
"""Name, in a record's metadata, of the dialect its completion is written in, where that is not the judge's."""


@dataclass(kw_only=True, slots=True)
class TraceCounts:
    """What became of one task's pairs: TraceCounts(asked=500, kept=471, dropped=Counter({"wrong verdict": 25,
    "truncated": 4}))"""

    asked: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        return {"asked": self.asked, "kept": self.kept, "dropped": dict(sorted(self.dropped.items()))}


def distill(
    records: Sequence[PreferenceRecord],
    *,
    teacher: Engine | AsyncEngine,
    folder: Path,
    dialect: Dialect,
    sampling: SamplingParams,
    attempts: int = 1,
    direct_share: float = 0.0,
    journal: Path | None = None,
    metadata: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> dict[Task, TraceCounts]:
    """Ask `teacher` about each record, up to `attempts` times until its verdict is the label, and write the kept
    traces.

    Of the kept pairs a share of `direct_share`, evenly spread, is written a second time with the bare verdict in the
    direct dialect: a judge that has seen that form can be asked for it, whatever it has learned from the traces.

    With the folder `journal`, each answer is on disk before it is used: a run that is started again asks only what has
    no answer yet, and counts into the teacher's budget what was spent before. A failed request (timeout, HTTP error,
    spent budget) is no answer. `folder` appears complete or not at all.
    """
    fates = _Fates(records, dialect)
    # Whose answers these are stands in each question: another teacher, wording or sampling asks new ones.
    opened = nullcontext() if journal is None else Journal(journal, about={"of": "distillation"})
    with opened as noted, ProgressBar(console) as progress:
        bar = progress.add_task("teacher", total=None, note="")
        num_reused = 0
        for attempt in range(attempts):
            pending = fates.pending
            progress.update(bar, total=progress.tasks[bar].completed + len(pending))
            seed = (sampling.seed or 0) + attempt
            asked = Asked(
                dialect=dialect,
                orders="given",
                sampling=replace(sampling, num_completions=1, seed=seed),
                seed=seed,
                purpose="distillation",
            )
            shown = _at(records, pending)
            for pair in judge(shown, engine=teacher, asked=asked, journal=noted, again=True):
                fates.settle(pair)
                num_reused += noted is not None and pair.question in noted.answered
                known = f" ({num_reused:,} answers of an earlier run)" if num_reused else ""
                progress.update(bar, advance=1, note=f"kept {len(fates.traces):,}{known}")
    counts = fates.counts()
    if not fates.traces:
        dropped = sum((count.dropped for count in counts.values()), Counter())
        reasons = ", ".join(f"{reason}: {number:,}" for reason, number in dropped.most_common())
        raise DataError(
            f"teacher {teacher.model!r} gave no right trace for {len(records):,} pairs ({reasons}); nothing was written"
        )
    about = {
        "teacher": teacher.model,
        "dialect": str(dialect),
        "temperature": sampling.temperature,
        "attempts": attempts,
        "direct_share": direct_share,
        "counts": {str(task): count.to_json() for task, count in counts.items()},
    }
    try:
        with ShardWriter(folder, metadata={**(metadata or {}), "distillation": about}, overwrite=True) as shards:
            for number, position in enumerate(sorted(fates.traces)):
                record = records[position]
                shards.write(replace(record, completion=fates.traces[position]))
                if int((number + 1) * direct_share) > int(number * direct_share):
                    shards.write(direct_answer(record))
    except OSError as error:
        raise DataError(
            f"{folder} can't be written ({error.strerror or error}); free the place and run the command again"
        ) from error
    return counts


def direct_answer(record: PreferenceRecord) -> PreferenceRecord:
    """The label of `record` as a completion in the direct dialect."""
    assert record.preference is not None  # an unlabelled pair has no trace either
    return replace(
        record,
        key=key_with(record.key, "direct"),
        completion=verdict_text(record.task, record.preference, dialect=Dialect.DIRECT),
        metadata={**record.metadata, DIALECT: str(Dialect.DIRECT)},
    )


def distillation_table(counts: Mapping[Task, TraceCounts]) -> Table:
    reasons = sorted({reason for count in counts.values() for reason in count.dropped})
    return Table(
        title="Teacher's traces by task",
        columns=("task", "pairs", "kept", *reasons),
        rows=tuple(
            (
                task_title(task),
                f"{count.asked:,}",
                f"{count.kept:,}",
                *(f"{count.dropped[reason]:,}" for reason in reasons),
            )
            for task, count in counts.items()
        ),
    )


class _Fates:
    """What has become of each record, by position: a trace, or the reason why there is none (yet)."""

    def __init__(self, records: Sequence[PreferenceRecord], dialect: Dialect) -> None:
        self.traces: dict[int, str] = {}
        self._dialect = dialect
        self._facts: list[tuple[Task, Preference | None]] = []
        self._position_of: dict[str, int] = {}
        self._reasons: dict[int, str] = {}
        for position, record in enumerate(_at(records, range(len(records)))):
            if record.key in self._position_of:
                raise DataError(f"two pairs to ask about have the key {record.key!r}; give one of them another")
            self._facts.append((record.task, record.preference))
            self._position_of[record.key] = position
            if record.preference in (None, Preference.TIE):
                self._reasons[position] = "no label" if record.preference is None else "label is a tie"
        self._never_asked = frozenset(self._reasons)

    @property
    def pending(self) -> list[int]:
        return [n for n in range(len(self._facts)) if n not in self.traces and n not in self._never_asked]

    def settle(self, pair: JudgedPair) -> None:
        """Read as the parser of today reads, whatever it said when the answer came."""
        position, completion = self._position_of[pair.key], pair.completion
        task, label = self._facts[position]
        reading = read_completion(completion, task=task, dialect=self._dialect)
        if isinstance(reading, ParseFailure):
            self._reasons[position] = reading.kind
        elif reading.verdict is not label:
            self._reasons[position] = "wrong verdict"
        else:
            self.traces[position] = completion.text.strip()

    def counts(self) -> dict[Task, TraceCounts]:
        counts: dict[Task, TraceCounts] = {}
        for position, (task, _) in enumerate(self._facts):
            count = counts.setdefault(task, TraceCounts())
            count.asked += 1
            if position in self.traces:
                count.kept += 1
            else:
                count.dropped[self._reasons[position]] += 1
        return counts


def _at(records: Sequence[PreferenceRecord], positions: Sequence[int]) -> Iterator[PreferenceRecord]:
    """Read one by one, when their turn comes."""
    return (records[position] for position in positions)
