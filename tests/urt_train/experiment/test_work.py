"""What is missing is run, or the command that runs it is named."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from urt_core.errors import RewardError
from urt_train.config import DataConfig, DistillConfig, Teacher, TrainConfig
from urt_train.errors import MissingStageError
from urt_train.experiment.steps import steps
from urt_train.experiment.work import run_missing, run_step
from urt_train.stages import train_config
from urt_train.stages.grpo.config import GRPOConfig


def config_in(folder: Path, **settings) -> TrainConfig:
    return train_config()(recipe="r", output_root=str(folder), stage="grpo", **settings)


def finish(config: TrainConfig, name: str) -> None:
    for path in next(step for step in steps(config) if step.name == name).writes:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def test_a_recipe_stops_with_the_command_to_run(tmp_path):
    config = config_in(tmp_path)
    finish(config, "prepare_data")
    finish(config, "distill")
    with pytest.raises(
        MissingStageError,
        match=r"which cold_start writes; run it first: urt-train recipe=r stage=cold_start",
    ):
        run_missing(config, "rejection_sampling")
    config = config_in(
        tmp_path / "new", data=DataConfig(source="shards"), distill=DistillConfig(teacher=Teacher.openai)
    )
    with pytest.raises(MissingStageError, match=r"say where they are: data\.train=<folder of shards>"):
        run_missing(config, "grpo")
    finish(config, "prepare_data")
    config.data.pool = str(tmp_path / "typo")
    with pytest.raises(MissingStageError, match=r"typo has none; say where they are: data\.pool=<folder of shards>"):
        run_missing(config, "rejection_sampling")


def test_several_processes_do_not_all_run_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MissingStageError, match=r"run it first: urt-train prepare_data recipe=r data=sprites"):
        run_missing(config_in(tmp_path, run_missing=True), "grpo")


def test_the_demo_runs_what_is_missing(tmp_path, capsys, monkeypatch):
    config = config_in(tmp_path, run_missing=True)
    ran = []

    def run(step, config):
        ran.append(step.name)
        finish(config, step.name)

    monkeypatch.setattr("urt_train.experiment.work.run_step", run)
    run_missing(config, "grpo")
    assert ran == ["prepare_data", "distill", "cold_start", "rejection_sampling"]
    assert "is missing: running distill first" in capsys.readouterr().out
    run_missing(config, "grpo")
    assert len(ran) == 4


def test_a_reward_that_does_not_work_is_said_before_what_is_missing_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr("urt_train.experiment.work.run_step", lambda step, config: pytest.fail(f"ran {step.name}"))
    settings = GRPOConfig(rewards={f"{__name__}:says_too_much": 1.0})
    with pytest.raises(RewardError, match="returned a str for a sample"):
        run_missing(config_in(tmp_path, run_missing=True, grpo=settings), "grpo")


def says_too_much(sample):
    return "good"


def test_a_step_does_its_work_with_its_own_stage(tmp_path, monkeypatch):
    done = []
    doers = {
        "experiment.data": SimpleNamespace(
            make_pairs=lambda config: done.append("pairs"), make_traces=lambda config: done.append("traces")
        ),
        "experiment.run": SimpleNamespace(run_stage=lambda config: done.append(config.stage)),
    }
    for module, doer in doers.items():
        monkeypatch.setitem(sys.modules, f"urt_train.{module}", doer)
    config = config_in(tmp_path)
    for step in steps(config):
        run_step(step, config)
    assert done == ["pairs", "traces", "cold_start", "rejection_sampling", "grpo"]
