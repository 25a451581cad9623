"""The policy without weights is the one that training opens: the same parameters, types, and ones that learn."""

from dataclasses import replace
from pathlib import Path

import pytest

from urt_train.config import LoraConfig, ModelConfig
from urt_train.experiment.dry_run.model import meta_policy, parts_of
from urt_train.experiment.dry_run.shape import shape_of
from urt_train.experiment.run import open_policy
from urt_train.experiment.steps import initial_model
from urt_train.stages import train_config

SETTINGS = {
    "language": {},
    "everything": {"train_vision": True, "train_projector": True, "gradient_checkpointing": True},
    "adapters": {"dtype": "bfloat16", "lora": LoraConfig(rank=2)},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_it_is_what_training_opens(settings, tiny_folder: Path) -> None:
    config = train_config()(model=ModelConfig(base=str(tiny_folder), **settings))
    for stage in config.stages:
        config = replace(config, stage=stage)
        getattr(config, stage).initial = str(tiny_folder)
        opened, computed = (
            open_policy(config, initial_model(config, config.stage)),
            meta_policy(config, shape_of(str(tiny_folder)), stage),
        )
        assert all(parameter.is_meta for parameter in computed.parameters())
        for name in ("batching", "attention", "training"):
            assert getattr(opened, name) == getattr(computed, name)
        assert _described(opened) == _described(computed)


def test_every_parameter_is_in_one_part(tiny_folder: Path) -> None:
    config = train_config()(model=ModelConfig(base=str(tiny_folder), lora=LoraConfig(rank=2)))
    policy = meta_policy(config, shape_of(str(tiny_folder)), "grpo")
    parts = parts_of(policy)
    assert sum(part.parameters for part in parts) == sum(parameter.numel() for parameter in policy.parameters())
    assert {part.name for part in parts if part.trained} == {"adapters"}


def _described(policy) -> list[tuple]:
    return [(name, p.shape, p.dtype, p.requires_grad) for name, p in policy.named_parameters()]
