"""A run's timeline.jsonl in, its last rollouts side by side out: who waited for whom."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from urt_core.atomic import whole_lines
from urt_core.bench.report.charts import Chart, span_chart

PHASES = ("sampling", "hand-over", "learning")
NUM_ROLLOUTS = 8
"""The newest that are drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageTimeline:
    title: str
    chart: Chart
    overlap: float
    """Share of the sampling during which the policy learned, over the whole run."""


def stage_timeline(title: str, path: Path) -> StageTimeline | None:
    """`path` has lines {"step": 12, "phase": "sampling", "start": 31.2, "end": 40.8}, seconds of one clock; None where
    nothing was sampled."""
    spans = [json.loads(line) for line in whole_lines(path)]
    spans = [span for span in spans if span["phase"] in PHASES]
    sampling, learning = ([span for span in spans if span["phase"] == phase] for phase in ("sampling", "learning"))
    if not sampling:
        return None
    shared = sum(
        max(0.0, min(one["end"], other["end"]) - max(one["start"], other["start"]))
        for one in sampling
        for other in learning
    )
    seconds = sum(span["end"] - span["start"] for span in sampling)
    newest = sorted({span["step"] for span in spans})[-NUM_ROLLOUTS:]
    shown = [span for span in spans if span["step"] in newest]
    rows = [phase for phase in PHASES if any(span["phase"] == phase for span in shown)]
    chart = span_chart(
        "Seconds since the run began",
        rows,
        [(span["phase"], f"step {span['step']}", span["start"], span["end"]) for span in shown],
    )
    return StageTimeline(title=title, chart=chart, overlap=shared / seconds if seconds else 0.0)
