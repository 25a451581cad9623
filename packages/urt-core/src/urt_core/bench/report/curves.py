"""A stage's metrics.csv in, its curves out: which columns share a chart, and in which order a reader wants them."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from urt_core.bench.report.charts import Chart, line_chart

Curve = list[tuple[float, float]]

CHARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Loss", ("loss",)),
    ("Tokens predicted right", ("right_tokens",)),
    ("Mean reward of a judgement", ("reward", "reward/*")),
    ("KL to the reference policy", ("kl",)),
    ("Entropy of a token", ("entropy",)),
    ("Tokens clipped", ("share/clipped_low", "share/clipped_high")),
    ("Groups without reward variance", ("share/zero_variance",)),
    ("Judgements cut off", ("share/truncated",)),
    ("Tokens of a judgement", ("length/completion",)),
    ("Gradient norm", ("grad_norm",)),
    ("Learning rate", ("learning_rate",)),
    ("Tokens per second", ("tokens_per_second",)),
    ("Seconds per step", ("time/*",)),
)
"""Title and columns of each chart, in this order; `*` stands for any rest of a name. Columns named nowhere come
last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageCurves:
    title: str
    charts: tuple[Chart, ...]
    always_zero: tuple[str, ...]
    """What was measured and never happened; a chart of it would show nothing."""


def stage_curves(title: str, path: Path) -> StageCurves:
    curves = {column: curve for column, curve in read_metrics(path).items() if len(curve) > 1}
    always_zero = sorted(column for column, curve in curves.items() if not any(value for _, value in curve))
    for column in always_zero:
        del curves[column]
    charts = []
    for chart, patterns in CHARTS:
        columns = [column for pattern in patterns for column in sorted(curves) if _matches(column, pattern)]
        if columns:
            charts.append(line_chart(chart, {_label(column): curves.pop(column) for column in columns}))
    charts += [line_chart(_words(column).capitalize(), {"": curves[column]}) for column in sorted(curves)]
    return StageCurves(title=title, charts=tuple(charts), always_zero=tuple(map(_words, always_zero)))


def read_metrics(path: Path) -> dict[str, Curve]:
    """Column -> (step, value). Cells that are empty or no finite number are left out: not every step measures
    everything."""
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


def _matches(column: str, pattern: str) -> bool:
    return column == pattern or (pattern.endswith("*") and column.startswith(pattern[:-1]))


def _label(column: str) -> str:
    """`reward/format` -> `format`; a column that is the whole of its parts is their `total`."""
    return _words(column.partition("/")[2]) or "total"


def _words(name: str) -> str:
    return name.replace("/", " ").replace("_", " ")
