"""A folder never mixes two runs."""

import json
from dataclasses import replace

import pytest

from urt_core.errors import ConfigError
from urt_train.config import Batching, ModelConfig, TrainConfig
from urt_train.runtime.run_folder import environment, folder_hash, open_run
from urt_train.stages import train_config
from urt_train.stages.grpo.config import GRPOConfig

INPUTS = {"model": "m1", "data": "d1"}


def config_in(folder, **grpo) -> TrainConfig:
    return train_config()(output_root=str(folder), stage="grpo", grpo=GRPOConfig(**grpo))


def test_what_was_run_is_written_down(tmp_path):
    folder = open_run(config_in(tmp_path), inputs=INPUTS)
    text = (folder / "config.yaml").read_text()
    assert "group_size: 8" in text
    assert "stage: grpo" in text
    assert json.loads((folder / "environment.json").read_text()).keys() >= {"commit", "python", "torch", "transformers"}
    assert environment()["torch"].startswith("2.")


def test_going_on_needs_the_same_settings_and_inputs(tmp_path):
    open_run(config_in(tmp_path), inputs=INPUTS)
    open_run(config_in(tmp_path, save_every=7), inputs=INPUTS)  # when to save does not change what is learned
    with pytest.raises(ConfigError, match=r"grpo\.kl_coef was 0\.04, is 0\.1.*ckpt_path=null"):
        open_run(config_in(tmp_path, kl_coef=0.1), inputs=INPUTS)
    with pytest.raises(ConfigError, match=r"grpo\.steps_per_rollout was 1, is 2"):
        open_run(config_in(tmp_path, steps_per_rollout=2), inputs=INPUTS)
    with pytest.raises(ConfigError, match="its model is another one"):
        open_run(config_in(tmp_path), inputs={"model": "m2", "data": "d1"})


def test_what_costs_memory_and_changes_no_result_may_change(tmp_path):
    open_run(config_in(tmp_path), inputs=INPUTS)
    cheaper = config_in(
        tmp_path,
        micro_batch_size=4,
        batching=Batching.padded,
        generation_batch_size=8,
        vllm_cache_gib=2.0,
        parity_every=7,
        parity_limit=1.05,
    )
    cheaper.model = ModelConfig(gradient_checkpointing=True, attention="eager")
    open_run(cheaper, inputs=INPUTS)
    with pytest.raises(ConfigError, match=r"model\.dtype was float32, is bfloat16"):
        open_run(replace(cheaper, model=ModelConfig(dtype="bfloat16")), inputs=INPUTS)


def test_micro_batches_that_several_steps_share_stay_as_they_are(tmp_path):
    open_run(config_in(tmp_path, steps_per_rollout=2), inputs=INPUTS)
    with pytest.raises(ConfigError, match=r"grpo\.micro_batch_size was 1, is 4"):
        open_run(config_in(tmp_path, steps_per_rollout=2, micro_batch_size=4), inputs=INPUTS)


def test_starting_anew_clears_the_folder(tmp_path):
    folder = open_run(config_in(tmp_path), inputs=INPUTS)
    (folder / "metrics.csv").write_text("step\n")
    (folder / "checkpoints").mkdir()
    config = config_in(tmp_path, kl_coef=0.1)
    config.ckpt_path = None
    open_run(config, inputs=INPUTS)
    assert not (folder / "metrics.csv").exists()
    assert not (folder / "checkpoints").exists()
    assert "kl_coef: 0.1" in (folder / "config.yaml").read_text()


def test_weights_identify_a_model(tmp_path):
    assert folder_hash("Qwen/Qwen3-VL-8B-Instruct") == "Qwen/Qwen3-VL-8B-Instruct"
    (tmp_path / "model.safetensors").write_bytes(b"a")
    first = folder_hash(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"b")
    assert folder_hash(tmp_path) != first
