"""Bad pairs cost themselves: each is named with shard and key and counted, the run goes on, and too many of them end it."""

import io
import json
from dataclasses import replace

import pytest
from PIL import Image

from tests.urt_train.experiment.test_run import assert_same_weights, stop_after
from urt_core import Media, MediaKind, Task
from urt_core.errors import ConfigError
from urt_data import ShardWriter
from urt_data.errors import QuarantineError
from urt_data.upkeep.repair import repair
from urt_train.config import DataConfig, JudgeConfig, ModelConfig, QuarantineConfig, TrainerConfig
from urt_train.errors import StoppedError
from urt_train.experiment.run import run_stage
from urt_train.runtime.callbacks import read_rows
from urt_train.stages import train_config
from urt_train.stages.cold_start.config import ColdStartConfig
from urt_train.stages.grpo.config import GRPOConfig


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


WHOLE = encoded(Image.radial_gradient("L").convert("RGB"))
BAD = {
    "cut": WHOLE[: len(WHOLE) // 2],
    "page": b"<!doctype html><title>not found</title>",
    "empty": b" ",
    "strip": encoded(Image.new("RGB", (1000, 4))),
}


def spoilt(record, content: bytes):
    media = Media(kind=MediaKind.IMAGE, files=("first.png",), data=(content,))
    return replace(record, task=Task.IMAGE_GENERATION, first=media, second=replace(media, data=(WHOLE,)), media=None)


@pytest.fixture
def config(tmp_path, tiny_folder, records):
    with ShardWriter(tmp_path / "pairs") as shards:
        for record in records[:8]:
            shards.write(record)
        for number, content in enumerate(BAD.values()):
            shards.write(replace(spoilt(records[8 + number], content), key=f"bad-{number}"))
    settings = {"max_completion_tokens": 160, "micro_batch_size": 2, "learning_rate": 1e-3, "epochs": 1.0}
    return train_config()(
        recipe="test",
        output_root=str(tmp_path / "out"),
        judge=JudgeConfig(min_pixels=32 * 32, max_pixels=48 * 48, num_frames=2),
        model=ModelConfig(base=str(tiny_folder)),
        data=DataConfig(
            cold_start=str(tmp_path / "pairs"), hard=str(tmp_path / "pairs"), quarantine=QuarantineConfig(share=0.5)
        ),
        trainer=TrainerConfig(accelerator="cpu", progress_bar=False),
        cold_start=ColdStartConfig(**settings, batch_size=4),
        grpo=GRPOConfig(
            prompts_per_rollout=4, group_size=2, micro_batch_size=2, max_completion_tokens=4, kl_coef=0.0, epochs=1.0,
            initial=str(tiny_folder),
        ),
    )  # fmt: skip


@pytest.mark.parametrize(("stage", "workers"), [("cold_start", 0), ("cold_start", 2), ("grpo", 1)])
def test_the_run_goes_on_and_names_them(config, stage, workers):
    config = replace(config, stage=stage, data=replace(config.data, workers=workers))
    run_stage(config)
    folder = config.stage_dir()
    lines = [json.loads(line) for line in (folder / "quarantine.jsonl").read_text().splitlines()]
    assert {line["key"] for line in lines} == {f"bad-{number}" for number in range(len(BAD))}
    assert all(line["shard"].endswith("shard-000000.tar") and "first.png" in line["reason"] for line in lines)
    assert [row["quarantined"] for row in read_rows(folder / "metrics.csv")][-1] == len(BAD)


def test_a_pair_that_is_read_in_every_epoch_is_one_pair(config, tmp_path, monkeypatch):
    """Three epochs over four bad pairs, in one go and stopped in the second; a run anew counts from 0."""
    config = replace(config, cold_start=replace(config.cold_start, epochs=3.0), stage="cold_start")
    other = replace(config, output_root=str(tmp_path / "again"))
    run_stage(config)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(StoppedError):
            run_stage(other)
    run_stage(other)
    for each in (config, other):
        folder = each.stage_dir()
        assert [row["quarantined"] for row in read_rows(folder / "metrics.csv")][-1] == len(BAD)
        assert (folder / "quarantine.jsonl").read_text().count("\n") == len(BAD)
    (other.stage_dir() / "quarantine.1.jsonl").write_text('{"shard": "of another run", "key": "pair"}\n')
    run_stage(replace(other, ckpt_path=None))
    assert [row["quarantined"] for row in read_rows(other.stage_dir() / "metrics.csv")][-1] == len(BAD)


@pytest.mark.parametrize("stage", ["cold_start", "grpo"])
def test_a_run_stopped_and_resumed_on_the_repaired_data_is_the_straight_one(config, tmp_path, monkeypatch, stage):
    """The weights of a run that met the bad pairs and left them out, bit for bit; the resumed one meets none."""
    config = replace(config, stage=stage)
    straight = run_stage(config)
    other = replace(config, output_root=str(tmp_path / "again"))
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(StoppedError):
            run_stage(other)
    before = (
        (other.stage_dir() / "quarantine.jsonl").read_text().count("\n")
        if (other.stage_dir() / "quarantine.jsonl").exists()
        else 0
    )
    report = repair(tmp_path / "pairs", tmp_path / "whole")
    assert (report.num_kept, report.keeps_order) == (8, True)
    whole = replace(other.data, cold_start=str(tmp_path / "whole"), hard=str(tmp_path / "whole"))
    resumed = run_stage(replace(other, data=whole))
    assert_same_weights(straight, resumed)
    after = other.stage_dir() / "quarantine.jsonl"
    assert (after.read_text().count("\n") if after.exists() else 0) == before


def test_a_photo_of_24_megapixels_is_scaled_while_it_is_read(config, tmp_path, records):
    photo = encoded(Image.linear_gradient("L").convert("RGB").resize((6000, 4000)), "JPEG")
    with ShardWriter(tmp_path / "photos") as shards:
        for record in records[:4]:
            shards.write(spoilt(record, photo))
    run_stage(replace(config, data=replace(config.data, cold_start=str(tmp_path / "photos"))))
    assert not (config.stage_dir() / "quarantine.jsonl").exists()


def test_over_the_budget_the_run_ends_with_the_last_of_them(config):
    with pytest.raises(QuarantineError, match=r"samples are bad .*; the last is bad-\d of .*first\.png"):
        run_stage(replace(config, data=replace(config.data, quarantine=QuarantineConfig(share=0.01, grace=1))))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([], r"data\.train has parts with the weights \[\]; allowed: one or more parts"),
        ([{"path": "a", "weight": 1}, "b"], r"weights \[1, None\]; allowed"),
        ([{"path": "a", "weight": 0}], r"data\.train has the part a with weight 0; allowed: a number above 0"),
        ([{"folder": "a"}], r"data\.train has the part \{'folder': 'a'\}; allowed: a folder, an address, or \{path"),
        ([{"path": "a", "times": 2}], r"data\.train has a part with times; allowed: path, weight, repeat"),
    ],
)
def test_a_part_that_cannot_be_is_named(said, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig(train=said)
