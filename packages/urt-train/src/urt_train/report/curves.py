"""A stage's metrics.csv in, its curves out: which columns share a chart, and in which order a reader wants them."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from urt_train.report.charts import LineChart, line_chart

Curve = list[tuple[float, float]]

FIRST_OF_ALL = ("loss", "reward", "accuracy", "right", "kl", "entropy", "clip", "length", "zero_variance", "grad_norm")
"""Columns whose name holds one of these words come in this order; the others follow by name, learning rate and speed last."""
LAST_OF_ALL = ("lr", "learning_rate", "seconds", "time", "tokens_per_second", "memory")
TOGETHER = ("reward", "rewards", "time", "seconds", "share")
"""Columns `reward/format` and `reward/accuracy` share one chart: parts of one thing on one scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageCurves:
    title: str
    charts: tuple[LineChart, ...]


def stage_curves(title: str, path: Path) -> StageCurves:
    curves = read_metrics(path)
    charts: dict[str, dict[str, Curve]] = {}
    for column in sorted(curves, key=_rank):
        if len(curves[column]) > 1:
            group, _, part = column.rpartition("/")
            chart = group if group in TOGETHER else column
            charts.setdefault(chart, {})[_words(part)] = curves[column]
    return StageCurves(title=title, charts=tuple(line_chart(_words(name), lines) for name, lines in charts.items()))


def read_metrics(path: Path) -> dict[str, Curve]:
    """Column -> (step, value). Cells that are empty or no finite number are left out: loggers write a line per source."""
    curves: dict[str, Curve] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            step = _number(row.get("step"))
            for column, cell in row.items():
                value = _number(cell) if isinstance(cell, str) else None
                if step is not None and value is not None and column not in ("step", "epoch"):
                    curves.setdefault(column, []).append((step, value))
    return curves


def _number(cell: str | None) -> float | None:
    try:
        value = float(cell or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _rank(column: str) -> tuple[int, str]:
    for place, word in enumerate(LAST_OF_ALL):
        if word in column:
            return len(FIRST_OF_ALL) + 1 + place, column
    for place, word in enumerate(FIRST_OF_ALL):
        if word in column:
            return place, column
    return len(FIRST_OF_ALL), column


def _words(name: str) -> str:
    """`train/grad_norm` -> `grad norm`."""
    words = name.removeprefix("train/").replace("/", ": ").replace("_", " ")
    return words.replace("kl", "KL") if words.split()[0] == "kl" else words
