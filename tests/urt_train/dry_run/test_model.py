"""The policy without weights is the one that training opens: the same parameters, types, and ones that learn."""

from dataclasses import replace
from pathlib import Path

import pytest

from urt_train.config import LoraConfig, ModelConfig, Stage, TrainConfig
from urt_train.dry_run.model import meta_policy, parts_of
from urt_train.dry_run.shape import shape_of
from urt_train.experiment.run import open_policy

SETTINGS = {
    "language": {},
    "everything": {"train_vision": True, "train_projector": True, "gradient_checkpointing": True},
    "adapters": {"dtype": "bfloat16", "lora": LoraConfig(rank=2)},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_it_is_what_training_opens(settings, tiny_folder: Path) -> None:
    config = TrainConfig(model=ModelConfig(base=str(tiny_folder), **settings))
    for stage in Stage:
        config = replace(config, stage=stage)
        getattr(config, stage.value).initial = str(tiny_folder)
        opened, computed = open_policy(config), meta_policy(config, shape_of(str(tiny_folder)), stage)
        assert all(parameter.is_meta for parameter in computed.parameters())
        for name in ("batching", "attention", "training"):
            assert getattr(opened, name) == getattr(computed, name)
        assert _described(opened) == _described(computed)


def test_every_parameter_is_in_one_part(tiny_folder: Path) -> None:
    config = TrainConfig(model=ModelConfig(base=str(tiny_folder), lora=LoraConfig(rank=2)))
    policy = meta_policy(config, shape_of(str(tiny_folder)), Stage.grpo)
    parts = parts_of(policy)
    assert sum(part.parameters for part in parts) == sum(parameter.numel() for parameter in policy.parameters())
    assert {part.name for part in parts if part.trained} == {"adapters"}


def _described(policy) -> list[tuple]:
    return [(name, p.shape, p.dtype, p.requires_grad) for name, p in policy.named_parameters()]
