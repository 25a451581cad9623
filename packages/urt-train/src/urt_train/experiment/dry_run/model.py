"""The policy that a recipe trains, without weights: built from its shape, with all that the recipe does to it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from urt_train.config import Batching, TrainConfig
from urt_train.experiment.dry_run.shape import Shape
from urt_train.model.lora import add_adapters
from urt_train.model.policy import Policy


def meta_policy(config: TrainConfig, shape: Shape, stage: str, *, num_layers: int | None = None) -> Policy:
    """As `run.open_policy` makes it (a test compares both), but on the meta device: every parameter has a size and a
    type, and no values. `num_layers`: with only that many layers in the language model."""
    with torch.device("meta"):
        return _recipe_policy(config, shape, stage, num_layers)


def _recipe_policy(config: TrainConfig, shape: Shape, stage: str, num_layers: int | None) -> Policy:
    from transformers import AutoModelForImageTextToText

    settings = config.settings(stage)
    model = AutoModelForImageTextToText.from_config(
        shape.config(num_layers=num_layers),
        dtype=getattr(torch, config.model.dtype),
        attn_implementation="eager" if config.model.attention == "eager" else "sdpa",
    )
    policy = Policy(
        model,
        None,
        None,
        spec=config.judge.spec(stage=stage, base=shape.base),
        batching=getattr(settings, "batching", Batching.padded),
        attention=config.model.attention,
    )
    learning = config.model
    policy.select_trainable(
        language=learning.train_language, vision=learning.train_vision, projector=learning.train_projector
    )
    if learning.lora.rank:
        add_adapters(policy.model, learning.lora)
    if learning.gradient_checkpointing:
        policy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    return policy.train()


class Part(NamedTuple):
    """Part(name="language model", parameters=8_190_735_360, trained=8_190_735_360)"""

    name: str
    parameters: int
    trained: int


def parts_of(policy: Policy) -> list[Part]:
    """Where the parameters are; a head that shares the embedding's weight is counted there."""
    base: Any = policy.model.model
    tower = getattr(base, "visual", None) or base.vision_tower
    modules = {"vision tower": tower, "language model": policy.model.get_decoder()}
    seen: set[int] = set()
    parts = [_part(name, module, seen) for name, module in modules.items()]
    rest = _part("projector and head", policy.model, seen)
    adapters = Part("adapters", *_sizes([p for name, p in policy.named_parameters() if ".lora_" in name]))
    return [*parts, rest, *([adapters] if adapters.parameters else [])]


def _part(name: str, module: nn.Module, seen: set[int]) -> Part:
    own = [p for key, p in module.named_parameters() if id(p) not in seen and ".lora_" not in key]
    seen |= {id(parameter) for parameter in own}
    return Part(name, *_sizes(own))


def _sizes(parameters: list[nn.Parameter]) -> tuple[int, int]:
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    return sum(parameter.numel() for parameter in parameters), trained
