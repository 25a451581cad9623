"""A stage of a user's own, named on the command line: it learns, is exported as a judge, and has its own settings."""

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from urt_core import Dialect, JudgeSpec
from urt_data import ShardWriter
from urt_data.sprites import build_split
from urt_data.sprites.oracle import judgement_text
from urt_train.cli import compose
from urt_train.datasets.rejection import REJECTED
from urt_train.experiment.run import run_stage
from urt_train.programs import train
from urt_train.stages import registry

OTHER = str.maketrans("12", "21")
"""Makes a right judgement wrong, its scores included."""


@pytest.mark.slow
def test_a_stage_is_trained_from_a_folder_of_ones_own(copied, tmp_path: Path, monkeypatch) -> None:
    copied("simpo_stage")
    monkeypatch.setattr(registry, "_stages", dict(registry._stages))  # no test behind this one knows the stage
    with ShardWriter(tmp_path / "outputs/tiny/data/contrasts") as shards:
        for record in build_split("train", {"image_generation": 8}, seed=0):
            right = judgement_text(record, Dialect.V1)
            wrong = right.translate(OTHER)
            shards.write(replace(record, completion=right, metadata={**record.metadata, REJECTED: wrong}))
    settings = [
        "batch_size=4",
        "micro_batch_size=4",
        "learning_rate=3e-3",
        "warmup_ratio=0",
        "max_steps=4",
        "margin=0.5",
    ]
    command = ["stage=simpo_stage:SPEC", "simpo.initial=embedded:tiny", *(f"simpo.{each}" for each in settings)]
    folder = run_stage(compose([*command, "trainer.progress_bar=false"]))
    with (tmp_path / "outputs/tiny/simpo/metrics.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    assert JudgeSpec.load(folder).stage == "simpo"


def test_its_settings_are_shown_like_ours(copied, monkeypatch, capsys) -> None:
    copied("simpo_stage")
    monkeypatch.setattr(registry, "_stages", dict(registry._stages))
    monkeypatch.setattr(sys, "argv", ["urt-train", "--fields", "simpo", "stage=simpo_stage:SPEC"])
    train.main()
    shown = capsys.readouterr().out
    assert "simpo.margin = 1.0" in shown
    assert "Gamma: how far the right judgement should be ahead" in shown
