"""What a run writes down beside training: rows, completions and phases of an earlier process go on where it was saved."""

import json
import os
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import Trainer

from urt_core.errors import CheckpointError
from urt_train.rollouts.timeline import Span
from urt_train.runtime import callbacks
from urt_train.runtime.callbacks import RolloutLog, StepMetrics, TimelineLog, UnchangedModel, read_rows


def trainer_at(step: int) -> Any:
    return Mock(spec=Trainer, global_step=step, is_global_zero=True, loggers=[], accumulate_grad_batches=1)


def module_with(**more) -> SimpleNamespace:
    return SimpleNamespace(
        num_steps=4,
        sums={"num_tokens": 6.0, "loss": 3.0, "time/data": 0.5},
        add=lambda **values: None,
        device=torch.device("cpu"),
        grad_norm=None,
        config=SimpleNamespace(learning_rate=0.1),
        learning_rate_share=lambda step: 1.0 - step / 4,
        metrics=lambda totals: {"loss": totals["loss"] / totals["num_tokens"]},
        **more,
    )


def finish_step(metrics: StepMetrics, step: int) -> None:
    metrics.on_train_batch_end(trainer_at(step), module_with(), None, None, 0)


def test_a_row_has_the_sums_over_the_micro_batches_and_the_rate_of_its_step(tmp_path):
    metrics = StepMetrics(tmp_path / "metrics.csv", title="test")
    metrics.on_train_start(trainer_at(0), module_with())
    finish_step(metrics, 1)
    finish_step(metrics, 2)
    rows = read_rows(tmp_path / "metrics.csv")
    assert [(row["step"], row["loss"], row["learning_rate"], row["time/data"]) for row in rows] == [
        (1, 0.5, 0.1, 0.5),
        (2, 0.5, pytest.approx(0.075), 0.5),
    ]
    assert "segment" not in rows[0], "the run went on under one set of settings"


def test_a_resumed_run_drops_the_rows_behind_its_checkpoint_and_marks_its_segment(tmp_path):
    path = tmp_path / "metrics.csv"
    first = StepMetrics(path, title="test")
    first.on_train_start(trainer_at(0), module_with())
    for step in (1, 2, 3):
        finish_step(first, step)
    with path.open("a") as file:
        file.write("4,0.5")  # killed while it was written
    again = StepMetrics(path, title="test", segment=2)
    again.on_train_start(trainer_at(2), module_with())
    finish_step(again, 3)
    rows = read_rows(path)
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert [row.get("segment") for row in rows] == [None, None, 2.0]


def test_what_several_ranks_have_found_counts_once(tmp_path, monkeypatch):
    """Two ranks: this one finds a and b, the other one b and c; the sets travel in the steps alone in which one grew."""
    sent = []
    others: set[str] = set()
    monkeypatch.setattr(callbacks, "all_sum", lambda values, device: [value + len(others) for value in values])

    def union(own):
        sent.append(set(own))
        return set(own) | others

    monkeypatch.setattr(callbacks, "all_union", union)
    metrics, found = StepMetrics(tmp_path / "metrics.csv", title="test"), set()
    metrics.found["quarantined"] = found
    counts = []
    for own, other in ((set(), set()), ({"a"}, set()), (set(), set()), ({"b"}, {"b", "c"}), (set(), set())):
        found |= own
        others |= other
        counts.append(metrics._count_found(torch.device("cpu"))["quarantined"])
    assert counts == [0, 1, 1, 3, 3]
    assert sent == [{"a"}, {"a", "b"}]


def test_completions_of_steps_that_are_computed_again_are_dropped(tmp_path):
    path = tmp_path / "rollouts.jsonl"
    log = RolloutLog(path)
    for step in (0, 1):
        module = SimpleNamespace(examples=[{"key": f"pair-{step}", "text": "é"}])
        log.on_train_batch_start(trainer_at(step), module, None, 0)
        assert module.examples == [], "told once"
    RolloutLog(path).on_train_start(trainer_at(1), None)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"step": 1, "key": "pair-0", "text": "é"}]


def test_seconds_of_phases_go_on_behind_those_of_the_process_before(tmp_path):
    path = tmp_path / "timeline.jsonl"
    plan = SimpleNamespace(steps_per_round=2)

    def write(step: int, spans: list[Span]) -> None:
        log = TimelineLog(path)
        log.on_train_start(trainer_at(step), None)
        module = SimpleNamespace(timeline=SimpleNamespace(spans=spans), plan=plan)
        log.on_train_batch_start(trainer_at(step), module, None, 0)
        assert module.timeline.spans == []

    write(0, [Span(rollout=0, phase="sampling", start=1.0, end=3.5), Span(rollout=1, phase="sampling", start=4, end=9)])
    write(2, [Span(rollout=1, phase="sampling", start=0.5, end=2.0)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], line["start"], line["end"]) for line in lines] == [(1, 1.0, 3.5), (3, 4.0, 5.5)]


def test_a_model_that_changes_while_it_is_opened_stops_the_run(tmp_path):
    for name in ("config.json", "model.safetensors", "notes.md"):
        (tmp_path / name).write_text("one")
    watched = UnchangedModel(str(tmp_path))
    (tmp_path / "notes.md").write_text("of no account")
    watched.on_fit_start(trainer_at(0), None)
    content = tmp_path / "model.safetensors"
    os.utime(content, ns=(content.stat().st_atime_ns, content.stat().st_mtime_ns + 1))
    with pytest.raises(
        CheckpointError, match=r"changed while it was opened \(model\.safetensors\); nothing was trained"
    ):
        watched.on_fit_start(trainer_at(0), None)
