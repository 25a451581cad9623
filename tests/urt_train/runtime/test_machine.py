"""Only known third-party objects are built from a config."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from urt_core.errors import ConfigError
from urt_train.cli import CONFIGS
from urt_train.config import TrainerConfig
from urt_train.runtime.hybrid import HybridSharding
from urt_train.runtime.machine import (
    STRATEGIES,
    check_strategy,
    make_loggers,
    make_strategy,
    make_trainer,
    third_party,
)

TENSORBOARD = {"_target_": "lightning.pytorch.loggers.TensorBoardLogger"}


def test_loggers_write_into_the_folder_of_the_run(tmp_path):
    (logger,) = make_loggers({"tensorboard": TENSORBOARD}, folder=tmp_path, name="tiny-grpo", run_id="3f9c01ab")
    assert str(logger.log_dir) == str(tmp_path / "tensorboard")


def test_a_run_that_goes_on_is_one_run_of_wandb(tmp_path, monkeypatch):
    monkeypatch.setattr("urt_train.runtime.machine.third_party", lambda settings, **_: settings)
    wandb = {"_target_": "lightning.pytorch.loggers.WandbLogger", "project": "mine"}
    for _ in range(2):
        [made] = make_loggers({"wandb": wandb}, folder=tmp_path, name="tiny-grpo", run_id="3f9c01ab")
        wanted = {
            "id": "3f9c01ab",
            "name": "tiny-grpo",
            "resume": "allow",
            "save_dir": str(tmp_path),
            "project": "mine",
        }
        assert made | wanted == made


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"_target_": "os.system"},
            r"strategy\._target_ is 'os\.system'; allowed: lightning\.pytorch\.strategies\.DDPStrategy",
        ),
        ({}, r"strategy\._target_ is None; allowed"),
        ({"_target_": STRATEGIES[1], "speed": 9}, r"strategy can't be made \(.*speed"),
    ],
)
def test_other_objects_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        third_party(settings, allowed=STRATEGIES, field="strategy")


def test_several_processes_need_a_launcher(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(
        ConfigError,
        match=r"trainer\.devices is '2', which are 2 processes here; allowed: .*torchrun --nproc-per-node 2",
    ):
        make_trainer(TrainerConfig(accelerator="cpu", devices="2"))


HSDP: Any = OmegaConf.to_container(OmegaConf.load(CONFIGS / "strategy/hsdp.yaml").strategy)


def test_hybrid_sharding_has_the_devices_of_a_node_in_one_copy(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    made = make_strategy(HSDP, TrainerConfig(accelerator="cpu"))
    assert isinstance(made, HybridSharding)
    assert (made.shard_over, made._data_parallel_size) == (8, 16)
    assert make_strategy({**HSDP, "shard_over": 2}, TrainerConfig(accelerator="cpu")).shard_over == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shard_over": 3}, r"strategy\.shard_over is 3; allowed: node, or a number of devices that divides all 16"),
        ({"shard_over": 0}, r"strategy\.shard_over is 0; allowed"),
        ({"shard_over": "rack"}, r"strategy\.shard_over is 'rack'; allowed"),
        ({"tensor_parallel_size": 2}, r"strategy\.shard_over is 'node'; .*tensor_parallel_size=1"),
        (
            {"_target_": STRATEGIES[0]},
            r"strategy\.shard_over is for .*ModelParallelStrategy, and strategy\._target_ is",
        ),
        ({"_target_": "os.system"}, r"strategy\.shard_over is for .*ModelParallelStrategy"),
    ],
)
def test_a_mesh_that_can_not_be_is_named(changes, message, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "16")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    with pytest.raises(ConfigError, match=message):
        make_strategy({**HSDP, **changes}, TrainerConfig(accelerator="cpu"))


DEEPSPEED = sorted((CONFIGS / "strategy").glob("deepspeed_*.yaml"))


@pytest.mark.parametrize("path", DEEPSPEED, ids=lambda path: path.stem)
def test_deepspeed_accepts_its_settings(path):
    """DeepSpeed's own reading of what Lightning hands it: no unknown field, the stage and places that the name says."""
    deepspeed_config = pytest.importorskip("deepspeed.runtime.config", reason="needs deepspeed (make test installs it)")
    strategy: Any = OmegaConf.to_container(OmegaConf.load(path).strategy)
    handed = third_party(strategy, allowed=STRATEGIES, field="strategy").config
    read = deepspeed_config.DeepSpeedConfig({**handed, "train_micro_batch_size_per_gpu": 1})
    zero = read.zero_config
    assert zero.stage == int(path.stem[len("deepspeed_zero")])
    assert not zero.model_extra, "fields that DeepSpeed does not know"
    is_offloaded = path.stem.endswith("_offload")
    assert (zero.offload_optimizer is not None, zero.offload_param is not None) == (is_offloaded, is_offloaded)
    assert read.zero_force_ds_cpu_optimizer is not is_offloaded, "our optimizer is torch's AdamW"
    assert read.zero_allow_untested_optimizer


@pytest.mark.parametrize(
    ("stage", "level", "message"),
    [
        ("grpo", 3, r"DeepSpeed ZeRO-3, and stage=grpo samples with whole weights.*allowed: strategy=fsdp2"),
        ("rejection_sampling", 3, r"ZeRO-3, and stage=rejection_sampling samples with whole weights"),
        ("cold_start", 2, r"strategy is DeepSpeed, which needs a CUDA device; allowed here: strategy=auto"),
    ],
)
def test_what_deepspeed_cant_do_is_said(stage, level, message, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = {"_target_": STRATEGIES[2], "config": {"zero_optimization": {"stage": level}}}
    with pytest.raises(ConfigError, match=message):
        check_strategy(settings, stage=stage, samples=stage != "cold_start")
