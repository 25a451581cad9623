"""Which step needs which, and what is run or said where something is missing."""

from dataclasses import replace
from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_train.config import DataConfig, TrainConfig
from urt_train.errors import MissingStageError
from urt_train.experiment.steps import check_stages, initial_model, missing_steps, steps
from urt_train.model.embedded import model_source
from urt_train.stages import find_stage, registry, train_config
from urt_train.stages.grpo import SPEC as GRPO
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.internalise.config import InternaliseConfig
from urt_train.stages.rejection_sampling.config import RejectionSamplingConfig


def config_in(folder: Path, **settings) -> TrainConfig:
    return train_config()(recipe="r", output_root=str(folder), stage="grpo", **settings)


def finish(config: TrainConfig, name: str) -> None:
    for path in next(step for step in steps(config) if step.name == name).writes:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")


def test_what_the_functions_of_a_users_stage_raise_is_said_with_its_path(tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_stages", dict(registry._stages))
    own = find_stage("tests.urt_train.stages.own_stage:SPEC")

    def raising(*arguments):
        raise KeyError("card")

    for name in ("prepares_from", "mixes_in", "check"):
        registry._stages["echo"] = replace(own, **{name: raising})
        config = train_config()(recipe="r", output_root=str(tmp_path), stage="echo", stages=["cold_start", "echo"])
        with pytest.raises(ConfigError, match=f"{name} of stage 'tests.*own_stage:SPEC' raised KeyError: 'card'"):
            check_stages(config, "echo") if name == "check" else steps(config)


def test_missing_steps_come_in_their_order(tmp_path):
    config = config_in(tmp_path)
    everything = ["prepare_data", "distill", "cold_start", "rejection_sampling"]
    assert [step.name for step in missing_steps(config, "grpo")] == everything
    finish(config, "prepare_data")
    finish(config, "cold_start")
    assert [step.name for step in missing_steps(config, "grpo")] == ["rejection_sampling"]
    finish(config, "rejection_sampling")
    assert missing_steps(config, "grpo") == []


def test_a_split_that_is_not_there_and_that_nothing_makes_is_said_at_once(tmp_path):
    """Held-out pairs are read behind training; a slip in their name would cost all of it."""
    config = config_in(tmp_path, internalise=InternaliseConfig(calibrate_on="validatoin"))
    with pytest.raises(
        MissingStageError,
        match=r"^internalise needs .*validatoin, which is not there and which no step of the recipe writes",
    ):
        missing_steps(replace(config, stage="internalise"), "internalise")
    folder = tmp_path / "r" / "data" / "validatoin"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    assert missing_steps(replace(config, stage="internalise"), "internalise")


def test_a_model_given_by_hand_needs_no_earlier_stage(tmp_path):
    config = config_in(tmp_path, grpo=GRPOConfig(initial="some/model"), data=DataConfig(hard=str(tmp_path / "mine")))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text("{}")
    assert missing_steps(config, "grpo") == []
    assert initial_model(config, "grpo") == "some/model"


def test_each_stage_starts_from_the_one_before(tmp_path):
    config = config_in(tmp_path)
    assert initial_model(config, "cold_start") == model_source(config.model.base)
    assert initial_model(config, "grpo") == str(tmp_path / "r" / "rejection_sampling" / "model")


def test_the_command_repeats_what_was_said_and_can_be_pasted(tmp_path):
    said = ["stage=rejection_sampling", "recipe=mine", f"output_root={tmp_path}", "grpo.vllm_servers=[http://a:8000]"]
    config = config_in(tmp_path, given=said, data=DataConfig(source="sprites"))
    commands = {step.name: step.command(config) for step in steps(config)}
    assert (
        commands["cold_start"]
        == f"urt-train recipe=mine stage=cold_start output_root={tmp_path} 'grpo.vllm_servers=[http://a:8000]'"
    )
    assert commands["prepare_data"].startswith("urt-train prepare_data recipe=mine data=sprites output_root=")
    config.given.append("data=own_world")
    assert "data=own_world" in next(iter(steps(config))).command(config)
    assert "data=sprites" not in next(iter(steps(config))).command(config)


def test_the_pool_is_the_split_that_is_named_for_it_else_train(tmp_path):
    def judged_by(**settings) -> Path:
        return next(step for step in steps(config_in(tmp_path, **settings)) if step.name == "rejection_sampling").needs[
            0
        ]

    data = tmp_path / "r" / "data"
    assert judged_by() == data / "train" / "manifest.json"
    assert judged_by(data=DataConfig(pool="mine")) == Path("mine/manifest.json")
    of_split = RejectionSamplingConfig(split="pool")
    assert judged_by(rejection_sampling=of_split) == data / "pool" / "manifest.json"
    train = RejectionSamplingConfig(split="train")
    assert judged_by(rejection_sampling=train, data=DataConfig(pool="mine")) == data / "train" / "manifest.json"


def test_the_embedded_base_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert (Path(initial_model(train_config()(), "cold_start")) / "model.safetensors").is_file()


def test_a_stage_starts_from_another_that_is_known(tmp_path, monkeypatch):
    for start in ("warm_start", "grpo"):
        monkeypatch.setitem(registry._stages, "grpo", replace(GRPO, starts_from=start))
        config = config_in(tmp_path)
        with pytest.raises(
            ConfigError, match=rf"stage 'grpo' starts from '{start}'; allowed: cold_start, .*grpo\.initial="
        ):
            steps(config)
        config.grpo.initial = "some/model"
        assert steps(config)
