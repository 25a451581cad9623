"""The root of a config: places of output, and what does not go together."""

from pathlib import Path

import pytest

from urt_core.errors import ConfigError
from urt_train.config import DataConfig, ModelConfig, Teacher, TrainConfig, TrainerConfig
from urt_train.config.judge import DistillConfig
from urt_train.stages import train_config


def test_output_lies_below_the_recipe():
    config = train_config()(output_root="out", recipe="mine", stage="grpo")
    assert (config.output_dir, config.stage_dir(), config.stage_dir("dpo")) == (
        Path("out/mine"), Path("out/mine/grpo"), Path("out/mine/dpo"),
    )  # fmt: skip
    assert config.stage_config is config.grpo
    assert config.settings("dpo") is config.dpo


def test_a_split_lies_where_it_was_said_or_below_the_recipe():
    config = train_config()(output_root="out", recipe="mine", data=DataConfig(test="s3://bucket/test"))
    assert config.data_place("test") == "s3://bucket/test"
    assert config.data_place("hard") == "out/mine/data/hard"


@pytest.mark.parametrize(("precision", "dtype", "served"), [
    ("32-true", "float32", "float32"), ("32-true", "bfloat16", "bfloat16"), ("bf16-mixed", "float32", "bfloat16"),
])  # fmt: skip
def test_a_judge_is_served_in_what_the_run_computes_in(precision, dtype, served):
    assert (
        TrainConfig(trainer=TrainerConfig(precision=precision), model=ModelConfig(dtype=dtype)).served_dtype == served
    )


@pytest.mark.parametrize("recipe", ["", "a/b", "a b", "a\\b"])
def test_a_recipe_is_a_folder_name(recipe):
    with pytest.raises(ConfigError, match=r"recipe is .*; allowed: a folder name without spaces"):
        TrainConfig(recipe=recipe)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accelerator": "tpu"}, r"trainer\.accelerator is 'tpu'; allowed: auto, cpu, gpu"),
        ({"precision": "16"}, r"trainer\.precision is '16'; allowed: 32-true, bf16-mixed"),
        ({"devices": "0"}, r"trainer\.devices is '0'; allowed: auto, or a number above 0"),
        ({"devices": "two"}, r"trainer\.devices is 'two'"),
        ({"num_nodes": 0}, r"trainer\.num_nodes is 0; allowed: 1 or more"),
        ({"num_threads": 0}, r"trainer\.num_threads is 0; allowed: 1 or more"),
        ({"timeout_s": 0.5}, r"trainer\.timeout_s is 0\.5; allowed: 1 or more"),
        ({"log_every": 0}, r"trainer\.log_every is 0; allowed: 1 or more"),
    ],
)
def test_a_machine_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainerConfig(**settings)


def test_the_oracle_knows_no_pairs_of_others():
    own = DataConfig(source="shards")
    with pytest.raises(ConfigError, match=r"distill\.teacher is oracle.*recipe=qwen3_vl_8b.*teacher=openai"):
        TrainConfig(data=own)
    assert TrainConfig(data=own, distill=DistillConfig(teacher=Teacher.openai)).data is own
