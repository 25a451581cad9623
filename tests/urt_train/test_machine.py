"""Only known third-party objects are built from a config."""

import pytest

from urt_core.errors import ConfigError
from urt_train.config import Stage, TrainConfig, TrainerConfig
from urt_train.machine import STRATEGIES, make_loggers, make_trainer, third_party

TENSORBOARD = {"_target_": "lightning.pytorch.loggers.TensorBoardLogger"}


def test_loggers_write_into_the_folder_of_the_run(tmp_path):
    config = TrainConfig(output_root=str(tmp_path), stage=Stage.grpo, logger={"tensorboard": TENSORBOARD})
    (logger,) = make_loggers(config)
    assert str(logger.log_dir) == str(tmp_path / "tiny" / "grpo" / "tensorboard")


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
    config = TrainConfig(trainer=TrainerConfig(accelerator="cpu", devices="2"))
    with pytest.raises(
        ConfigError,
        match=r"trainer\.devices is '2', which are 2 processes here; allowed: .*torchrun --nproc-per-node 2",
    ):
        make_trainer(config, callbacks=[], with_loggers=False)
