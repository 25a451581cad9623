"""The spans of a run on one time line: bars where their seconds say, and how much of the sampling was learned through."""

import json
from xml.etree import ElementTree

import pytest

from urt_core.bench.report.timeline import NUM_ROLLOUTS, stage_timeline


def written(path, spans):
    lines = [{"step": step, "phase": phase, "start": start, "end": end} for step, phase, start, end in spans]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def described(timeline) -> list[str]:
    bars = ElementTree.fromstring(timeline.chart.svg).iter("{http://www.w3.org/2000/svg}title")
    return [bar.text or "" for bar in bars]


AHEAD = [
    (1, "hand-over", 0.0, 1.0), (1, "sampling", 1.0, 5.0), (2, "sampling", 5.0, 9.0), (1, "learning", 5.0, 8.0),
    (2, "hand-over", 9.0, 10.0), (2, "learning", 10.0, 13.0),
]  # fmt: skip


def test_the_bars_and_the_share_that_overlaps(tmp_path):
    timeline = stage_timeline("GRPO", written(tmp_path / "timeline.jsonl", AHEAD))
    assert timeline is not None
    assert timeline.overlap == pytest.approx(3 / 8), "of 8 s of sampling 3 were learned through"
    assert described(timeline) == [
        f"{phase}, step {step}: {start:.1f} to {end:.1f} s" for step, phase, start, end in AHEAD
    ]


def test_the_newest_rollouts_are_drawn_and_all_are_counted(tmp_path):
    spans = [
        (step, phase, at, at + 1.0)
        for step in range(1, 21)
        for phase, at in (("sampling", 2.0 * step), ("learning", 2.0 * step + 1))
    ]
    timeline = stage_timeline("GRPO", written(tmp_path / "timeline.jsonl", spans))
    assert timeline is not None
    assert timeline.overlap == 0.0
    assert len(described(timeline)) == 2 * NUM_ROLLOUTS
    assert f"step {21 - NUM_ROLLOUTS}:" in described(timeline)[0]


def test_without_a_rollout_there_is_nothing_to_draw(tmp_path):
    assert stage_timeline("GRPO", written(tmp_path / "timeline.jsonl", [])) is None
