"""Labelled pairs and a teacher in, a shard of judgements to imitate out: the data of the cold start.

A trace is kept only where its parsed verdict equals the label (arXiv 2505.03318, section 3: of 10K pairs about 5K
stay). What was kept, and what was dropped for which reason, is counted per task and written into the manifest of the
shard.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from urt_core import (
    AsyncEngine,
    Completion,
    Dialect,
    Engine,
    ParseFailure,
    Preference,
    PreferenceRecord,
    SamplingParams,
    Task,
    render,
)
from urt_core.bench.table import Table
from urt_core.bench.tables import task_title
from urt_core.errors import DataError, EngineError
from urt_core.judging.pairs import read_completion
from urt_core.progress import progress_bar
from urt_core.prompts import verdict_text
from urt_data.shards import ShardWriter
from urt_train.datasets.answers import ANSWERS, AnswerJournal

FAILURES_TO_STOP = 20
"""Requests that fail one after the other mean a wrong key or a dead endpoint, not twenty bad pairs."""
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
    batch_size: int = 64,
    concurrency: int = 16,
    journal: Path | None = None,
    metadata: Mapping[str, Any] | None = None,
    console: Console | None = None,
) -> dict[Task, TraceCounts]:
    """Ask `teacher` about each record, up to `attempts` times until its verdict is the label, and write the kept
    traces.

    Of the kept pairs a share of `direct_share`, evenly spread, is written a second time with the bare verdict in the
    direct dialect: a judge that has seen that form can be asked for it, whatever it has learned from the traces.

    With `journal`, each answer is on disk before it is used: a run that is started again asks only what has no answer
    yet. A failed request (timeout, HTTP error, spent budget) is no answer. `folder` appears complete or not at all.
    """
    fates = _Fates(records, dialect)
    answers = AnswerJournal(journal)
    with progress_bar(console) as progress:
        bar = progress.add_task("teacher", total=None, note="")

        def settle(position: int, completion: Completion) -> None:
            fates.settle(position, completion)
            if fates.num_failures_in_a_row == FAILURES_TO_STOP:
                raise EngineError(
                    f"teacher {teacher.model!r} failed {FAILURES_TO_STOP} times in a row ({completion.status}: "
                    f"{completion.detail}); what it answered is kept, the same command goes on from there"
                )
            note = f"kept {len(fates.traces):,}"
            if answers.num_reused:
                note += f" ({answers.num_reused:,} answers of an earlier run)"
            progress.update(bar, advance=1, note=note)

        for attempt in range(attempts):
            pending = fates.pending
            progress.update(bar, total=progress.tasks[bar].completed + len(pending))
            _ask(
                teacher,
                records,
                pending,
                dialect=dialect,
                sampling=replace(sampling, num_completions=1, seed=(sampling.seed or 0) + attempt),
                answers=answers,
                batch_size=batch_size,
                concurrency=concurrency,
                settle=settle,
            )
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
        key=f"{record.key[:57]}-direct",
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
        self._facts: list[tuple[Task, Preference | None]] = [(record.task, record.preference) for record in records]
        self._reasons: dict[int, str] = {}
        self.num_failures_in_a_row = 0
        for position, (_, label) in enumerate(self._facts):
            if label is None or label is Preference.TIE:
                self._reasons[position] = "no label" if label is None else "label is a tie"
        self._never_asked = frozenset(self._reasons)

    @property
    def pending(self) -> list[int]:
        return [n for n in range(len(self._facts)) if n not in self.traces and n not in self._never_asked]

    def settle(self, position: int, completion: Completion) -> None:
        self.num_failures_in_a_row = 0 if completion.finish_reason in ANSWERS else self.num_failures_in_a_row + 1
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


def _ask(
    teacher: Engine | AsyncEngine,
    records: Sequence[PreferenceRecord],
    positions: Sequence[int],
    *,
    dialect: Dialect,
    sampling: SamplingParams,
    answers: AnswerJournal,
    batch_size: int,
    concurrency: int,
    settle: Callable[[int, Completion], None],
) -> None:
    """Settle every position: from the journal, else by asking; a new answer is noted before it is used."""
    unanswered = [] if len(answers) else list(positions)
    for position in positions if len(answers) else ():
        known = answers.find(teacher.model, render(records[position], dialect), sampling)
        if known is None:
            unanswered.append(position)
        else:
            settle(position, known)

    if isinstance(teacher, AsyncEngine):
        waiting = iter(unanswered)

        async def ask_in_turn() -> None:
            for position in waiting:
                prompt = render(records[position], dialect)
                [[completion]] = await teacher.agenerate([prompt], sampling)
                answers.note(teacher.model, prompt, sampling, completion)
                settle(position, completion)

        async def ask_all() -> None:
            try:
                await asyncio.gather(*(ask_in_turn() for _ in range(concurrency)))
            finally:
                # Connections belong to this event loop, which ends here.
                if hasattr(teacher, "aclose"):
                    await teacher.aclose()  # pyright: ignore[reportAttributeAccessIssue]

        asyncio.run(ask_all())
        return
    for start in range(0, len(unanswered), batch_size):
        batch = unanswered[start : start + batch_size]
        prompts = [render(records[position], dialect) for position in batch]
        for position, prompt, [completion] in zip(batch, prompts, teacher.generate(prompts, sampling), strict=True):
            answers.note(teacher.model, prompt, sampling, completion)
            settle(position, completion)
