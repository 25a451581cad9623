"""The words and figures of the report: what to know in ten seconds, and where it all comes from."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from urt_core import Dialect, PreferenceRecord
from urt_core.bench.evaluation import EvaluationResult
from urt_core.bench.phases import PhaseCost, duration, memory
from urt_core.bench.tables import percent, percent_with_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedData:
    """Where the judged pairs come from: JudgedData(metadata={"source": "sprites", "seed": 0}, find=...)"""

    metadata: Mapping[str, object]
    find: Callable[[Collection[str]], Mapping[str, PreferenceRecord]]
    """The records with these keys; a missing one is an error."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Figure(name="right with reasoning", value="93.0 %", note="95 % interval 90.1–95.1")"""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class CostRow:
    """One phase as a bar: CostRow(title="Stage 3: GRPO", time="3 min 32 s", memory="1.73 GB", start=41.0, width=30.2,
    share="30 %")"""

    title: str
    time: str
    memory: str
    start: float = 0.0
    width: float = 0.0
    share: str = ""
    is_total: bool = False


def headline(last: EvaluationResult, reasoning: Dialect) -> str:
    row = last.row(reasoning)
    return f"Right on {percent(row.accuracy)} of {row.n_total:,} held-out pairs"


def lead(evaluations: Mapping[str, EvaluationResult], reasoning: Dialect) -> list[str]:
    what = (
        "A vision-language judge reads a caption and two images or videos, or a question and two answers; it writes a scored "
        "comparison and gives a verdict. This page shows how well it judges after each stage of training, on pairs that no "
        "stage has seen."
    )
    if len(evaluations) == 1:
        return [what]
    first, *_, last = evaluations
    steps = f"Asked to reason, it goes from {_accuracy(evaluations[first], reasoning)} at the {first.lower()} to "
    steps += f"{_accuracy(evaluations[last], reasoning)} after {last}; a coin would get 50 %."
    if all(Dialect.DIRECT in result.dialects for result in evaluations.values()) and reasoning is not Dialect.DIRECT:
        steps += (
            f" Asked for the bare verdict, it goes from {_accuracy(evaluations[first], Dialect.DIRECT)} to "
            f"{_accuracy(evaluations[last], Dialect.DIRECT)}."
        )
    return [what, steps]


def figures(
    last: EvaluationResult,
    reasoning: Dialect,
    costs: Sequence[PhaseCost],
    others: Mapping[str, EvaluationResult] | None = None,
) -> list[Figure]:
    """`others` are the last judge's evaluations on other splits, by name."""
    row = last.row(reasoning)
    low, high = row.accuracy.interval or (0.0, 0.0)
    shown = [
        Figure(
            name="right, reasoning first",
            value=percent(row.accuracy),
            note=f"95 % interval {100 * low:.1f}–{100 * high:.1f}",
        )
    ]
    if Dialect.DIRECT in last.dialects and reasoning is not Dialect.DIRECT:
        shown.append(Figure(name="right, direct answer", value=percent(last.row(Dialect.DIRECT).accuracy)))
    for split, other in (others or {}).items():
        if reasoning in other.dialects:
            found = other.row(reasoning).accuracy
            low, high = found.interval or (0.0, 0.0)
            note = f"95 % interval {100 * low:.1f}–{100 * high:.1f}"
            shown.append(Figure(name=f"right on {split.replace('_', ' ')}", value=percent(found), note=note))
    shown.append(Figure(name="of the judgements can be read", value=percent(row.parse_rate)))
    if row.position_consistency.n:
        shown.append(
            Figure(
                name="same verdict in both orders",
                value=percent(row.position_consistency),
                note="of pairs readable in both",
            )
        )
    if costs:
        shown.append(Figure(name="for everything", value=rough_duration(sum(cost.seconds for cost in costs))))
        shown.append(Figure(name="peak memory", value=memory(max(cost.peak_memory_bytes for cost in costs))))
    return shown


def cost_rows(costs: Sequence[PhaseCost]) -> list[CostRow]:
    total = sum(cost.seconds for cost in costs)
    rows, before = [], 0.0
    for cost in costs:
        share = cost.seconds / total if total else 0.0
        rows.append(
            CostRow(
                title=cost.title,
                time=duration(cost.seconds),
                memory=memory(cost.peak_memory_bytes),
                start=round(100 * before, 2),
                width=round(100 * share, 2),
                share=f"{share:.0%}",
            )
        )
        before += share
    if len(costs) > 1:
        peak = max(cost.peak_memory_bytes for cost in costs)
        rows.append(CostRow(title="Everything", time=duration(total), memory=memory(peak), is_total=True))
    return rows


def facts(folder: Path, last: EvaluationResult, data: JudgedData | None) -> list[tuple[str, str]]:
    """Name and value of what one needs to repeat the run; foreign text, shown as such."""
    known: list[tuple[str, str]] = [("model judged last", last.model)]
    known += [(f"data, {name}", _text(value)) for name, value in last.data.items()]
    if data is not None:
        known += [(f"data, {name}", _text(value)) for name, value in sorted(data.metadata.items()) if _is_plain(value)]
    known += [(f"judging, {name.replace('_', ' ')}", _text(value)) for name, value in last.settings.items()]
    for path in sorted(folder.glob("*/environment.json"))[-1:]:
        known += [(name.replace("_", " "), _text(value)) for name, value in json.loads(path.read_text("utf-8")).items()]
    return known


def rough_duration(seconds: float) -> str:
    """
    >>> rough_duration(42), rough_duration(824), rough_duration(7384)
    ('42 s', '13.7 min', '2.1 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _accuracy(result: EvaluationResult, dialect: Dialect) -> str:
    return percent_with_interval(result.row(dialect).accuracy)


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value))
    return str(value)
