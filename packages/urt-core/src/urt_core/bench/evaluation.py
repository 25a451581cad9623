"""Measure a judge: engine and held-out pairs in, rates with 95 % intervals out.

The headline is accuracy in the given order; output that can't be read counts as wrong. Where a pair is also judged with
its candidates exchanged, the rows say how often the same candidate wins in both orders. Every judgement is kept.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from urt_core import Dialect, PreferenceRecord, SamplingParams, Task
from urt_core.atomic import write_whole
from urt_core.bench.rates import EvaluationRow, rows_per_cause, rows_per_task
from urt_core.bench.saved import known_fields, read_saved, saved_rows
from urt_core.comparison import Order
from urt_core.engines import AsyncEngine, Engine, traits
from urt_core.errors import DataError
from urt_core.judging.journal import Journal
from urt_core.judging.judge import Asked
from urt_core.judging.pairs import JudgedPair, read_judged_pairs, write_judged_pairs
from urt_core.judging.share import Share
from urt_core.judging.together import judge_together
from urt_core.progress_bar import ProgressBar
from urt_core.prompts.names import contract_of

SCHEMA = 1
DIRECT_MAX_TOKENS = 24
"""Enough for the verdict sentence of every task, in every tokenizer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult:
    """What an evaluation found.

    EvaluationResult(model="outputs/tiny/grpo/model", data={"folder": "outputs/tiny/data/test"},
                     settings={"dialects": ["v1", "direct"], "orders": "both", "temperature": 0.0, ...},
                     rows=(EvaluationRow(...), ...), cause_rows=(...), judged=(JudgedPair(...), ...))
    """

    model: str
    data: Mapping[str, object]
    """What was judged, as the caller describes it."""
    settings: Mapping[str, object]
    rows: tuple[EvaluationRow, ...]
    """Per dialect: one row per task, then all tasks together."""
    cause_rows: tuple[EvaluationRow, ...]
    judged: tuple[JudgedPair, ...] = field(repr=False)

    @property
    def dialects(self) -> tuple[Dialect, ...]:
        return tuple(dict.fromkeys(row.dialect for row in self.rows))

    def row(self, dialect: Dialect, task: Task | None = None) -> EvaluationRow:
        for row in self.rows:
            if row.dialect is dialect and row.task is task:
                return row
        raise DataError(
            f"no row for dialect {str(dialect)!r} and task {str(task or 'all')!r}; evaluated: "
            + ", ".join(f"{row.dialect}/{row.task or 'all'}" for row in self.rows)
        )

    def save(self, folder: Path) -> None:
        """`judgements.jsonl` first, `result.json` last: where that stands, the evaluation is complete."""
        (folder / "result.json").unlink(missing_ok=True)
        write_judged_pairs(folder / "judgements.jsonl", self.judged)
        summary = {
            "schema": SCHEMA,
            "model": self.model,
            "data": dict(self.data),
            "settings": dict(self.settings),
            "rows": [row.to_json() for row in self.rows],
            "cause_rows": [row.to_json() for row in self.cause_rows],
        }
        write_whole(folder / "result.json", json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    @classmethod
    def load(cls, folder: Path) -> EvaluationResult:
        if not (folder / "result.json").is_file():
            raise DataError(
                f"no complete evaluation in {folder}: result.json is missing. Run `urt-train evaluate` for it"
            )
        path = folder / "result.json"
        summary = known_fields(cls, {"judged": (), **read_saved(path, schema=SCHEMA)}, path=path)
        return cls(
            model=summary["model"],
            data=summary["data"],
            settings=summary["settings"],
            rows=tuple(EvaluationRow.from_json(row, path=path) for row in saved_rows(summary["rows"], path=path)),
            cause_rows=tuple(
                EvaluationRow.from_json(row, path=path) for row in saved_rows(summary["cause_rows"], path=path)
            ),
            judged=tuple(read_judged_pairs(folder / "judgements.jsonl")),
        )


def evaluate(
    engine: Engine | AsyncEngine,
    records: Sequence[PreferenceRecord],
    *,
    dialects: Sequence[Dialect] = (Dialect.V1, Dialect.DIRECT),
    orders: Literal["both", "given"] = "both",
    sampling: SamplingParams | None = None,
    direct_max_tokens: int = DIRECT_MAX_TOKENS,
    batch_size: int = 64,
    data: Mapping[str, object] | None = None,
    journal: Journal | None = None,
    share: Share | None = None,
    check: Callable[[], None] = lambda: None,
    console: Console | None = None,
) -> EvaluationResult:
    """Judge every record in every dialect and order; greedily, unless `sampling` says otherwise.

    A direct answer gets `direct_max_tokens` instead of `sampling.max_tokens`: it is one sentence, and a model that has
    never learnt to stop would otherwise write to the limit on every pair. With `journal` it goes on where a run of the
    same stopped, and the processes of `share` divide the work; each has the whole result.
    """
    if not len(records):
        raise DataError("nothing to evaluate: the list of records is empty. Check the data folder and the chosen tasks")
    sampling, share = sampling or SamplingParams(), share or Share()
    shown = Labelled(records)
    judged: list[JudgedPair] = []
    with ProgressBar(console) as progress:
        total = len(records) * len(dialects) * (2 if orders == "both" else 1)
        bar = progress.add_task("judging", total=-(-total // share.num), note="")
        for dialect in dialects:
            limit = sampling.max_tokens if contract_of(dialect).reasons else direct_max_tokens
            counts = Counter[str]()

            def seen(pair: JudgedPair, dialect: Dialect = dialect, counts: Counter[str] = counts) -> None:
                counts.update(judged=1, readable=pair.failure is None, right=bool(pair.correct))
                shares = (f"{name} {counts[name] / counts['judged']:.0%}" for name in ("readable", "right"))
                progress.update(bar, description=str(dialect), advance=1, note=" ".join(shares))

            found = judge_together(
                shown,
                engine=engine,
                asked=Asked(dialect=dialect, orders=orders, sampling=replace(sampling, max_tokens=limit)),
                journal=journal,
                share=share,
                # An engine that schedules what it is asked takes pairs one by one.
                block=None if traits(engine).is_concurrent else batch_size,
                seen=seen,
                check=check,
            )
            judged += sorted(found, key=lambda pair: pair.order is Order.SWAPPED)
    return EvaluationResult(
        model=engine.model,
        data=data or {},
        settings=settings_of(dialects, orders, sampling, direct_max_tokens),
        rows=rows_per_task(judged),
        cause_rows=rows_per_cause(judged),
        judged=tuple(judged),
    )


class Labelled(Sequence[PreferenceRecord]):
    """Records that say which candidate is better; one that does not is named when its turn comes."""

    def __init__(self, records: Sequence[PreferenceRecord]) -> None:
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, place: Any) -> Any:
        record = self.records[place]
        if record.preference is None:
            raise DataError(
                f"record {record.key!r} has no preference, so a verdict on it is neither right nor wrong; "
                "allowed: records with preference first, second or tie. Leave the unlabelled records out"
            )
        return record


def settings_of(
    dialects: Sequence[Dialect], orders: str, sampling: SamplingParams, direct_max_tokens: int = DIRECT_MAX_TOKENS
) -> dict[str, object]:
    """What a result depends on beside the model and the pairs; two evaluations with equal settings can be compared."""
    return {
        "dialects": [str(dialect) for dialect in dialects],
        "orders": orders,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
        "max_tokens": sampling.max_tokens,
        "direct_max_tokens": direct_max_tokens,
    }
