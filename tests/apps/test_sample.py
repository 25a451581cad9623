"""python apps/sample.py: the first half of rejection sampling, whatever stage the recipe has, behind what it lacks."""

from importlib import import_module
from pathlib import Path

import pytest

from urt_train.cli import compose
from urt_train.errors import MissingStageError
from urt_train.programs import sample

APPS = Path(__file__).parents[2] / "apps"


@pytest.mark.parametrize("stage", ["grpo", "cold_start"])
def test_it_judges_the_pool_and_trains_nothing(tmp_path, monkeypatch, stage):
    config = compose(["recipe=tiny", f"output_root={tmp_path}", f"stage={stage}"])
    done = []
    monkeypatch.setattr(
        "urt_train.experiment.work.run_missing", lambda config, name: done.append(("missing", config.stage, name))
    )
    monkeypatch.setattr("urt_train.experiment.run.prepare_stage", lambda config: done.append(("pool", config.stage)))
    sample.main(config)
    assert done == [("missing", "rejection_sampling", "rejection_sampling"), ("pool", "rejection_sampling")]


def test_the_app_is_that_program(monkeypatch):
    monkeypatch.syspath_prepend(str(APPS))
    assert import_module("sample").main is sample.main


def test_without_a_judge_it_says_what_to_run_first(tmp_path):
    config = compose(["recipe=tiny", f"output_root={tmp_path}", "run_missing=false"])
    with pytest.raises(MissingStageError, match="run it first: urt-train"):
        sample.main(config)
