"""All stages in a row on a random model: each finds what the one before wrote and exports a judge that opens again."""

import csv
import json
from pathlib import Path

import pytest
import torch
from urt_core import JudgeSpec
from urt_data import ShardFolder, ShardWriter
from urt_train.config import (
    ColdStartConfig,
    GRPOConfig,
    JudgeConfig,
    ModelConfig,
    RejectionSamplingConfig,
    Stage,
    TrainConfig,
    TrainerConfig,
)


@pytest.fixture
def config(tmp_path, tiny_folder, records) -> TrainConfig:
    shared = {"max_completion_tokens": 160, "micro_batch_size": 4, "epochs": 1.0}
    config = TrainConfig(
        recipe="test",
        output_root=str(tmp_path),
        judge=JudgeConfig(min_pixels=32 * 32, max_pixels=48 * 48, num_frames=2),
        model=ModelConfig(base=str(tiny_folder), train_vision=True, train_projector=True),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        cold_start=ColdStartConfig(**shared, batch_size=4, learning_rate=1e-3, save_every=1),
        rejection_sampling=RejectionSamplingConfig(**shared, batch_size=4, judge_batch_size=4, num_samples=2),
        grpo=GRPOConfig(
            **{**shared, "max_completion_tokens": 16},
            prompts_per_rollout=2,
            group_size=4,
            steps_per_rollout=1,
            max_steps=3,
        ),
    )
    for split in ("train", "cold_start"):
        with ShardWriter(config.data_dir(split)) as shards:
            for record in records:
                shards.write(record)
    return config


def test_three_stages(config, tmp_path):
    from dataclasses import replace

    from urt_train.run import run_stage

    run_stage(replace(config, stage=Stage.cold_start))
    for split in ("accepted", "hard"):
        with ShardWriter(config.data_dir(split)) as shards:
            for record in ShardFolder(config.data_dir("train")):
                shards.write(record)
    config.data.accepted = str(config.data_dir("accepted"))
    config.data.hard = str(config.data_dir("hard"))
    run_stage(replace(config, stage=Stage.rejection_sampling))
    model = run_stage(replace(config, stage=Stage.grpo))
    assert JudgeSpec.load(model).stage == "grpo"
    rows = list(csv.DictReader((tmp_path / "test" / "grpo" / "metrics.csv").open()))
    print(rows)
