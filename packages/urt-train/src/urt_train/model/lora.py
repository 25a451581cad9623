"""Low-rank adapters (arXiv 2106.09685) in the language model: put in by `peft`, folded into the weights on export."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from urt_core.errors import ConfigError
from urt_train.config import LoraConfig
from urt_train.runtime.ranks import derived_seed

ADAPTER = "default"


def add_adapters(model: Any, config: LoraConfig) -> None:
    """Adapters on the language model's linear layers; they learn, the language model and its head do not."""
    try:
        import peft
    except ImportError as error:
        raise ConfigError(
            'model.lora.rank is above 0, which needs peft: pip install "urt-train[lora]"; or set model.lora.rank=0'
        ) from error
    decoder = model.get_decoder()
    decoder.requires_grad_(False)
    model.get_output_embeddings().requires_grad_(False)
    settings = peft.LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType]  declared whole, used as a factor
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
    )
    try:
        peft.inject_adapter_in_model(settings, decoder, adapter_name=ADAPTER)
    except ValueError as error:
        raise ConfigError(f"model.lora.targets are {config.targets}; the language model has no such layers") from error
    for name, parameter in adapters(model):
        parameter.data = parameter.data.float()  # small updates would be rounded away in the bfloat16 of a frozen base
        if not parameter.is_meta:
            parameter.data.copy_(initial_adapter(name, parameter.shape))
    model.urt_lora_scale = config.alpha / config.rank


def adapters(model: torch.nn.Module) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if ".lora_" in name]


def initial_adapter(name: str, shape: Sequence[int]) -> Tensor:
    """A uniform with variance 1 / (3 inputs), B zero (https://github.com/microsoft/LoRA, loralib/layers.py), so that
    the update begins as 0; a function of the run's seed and the adapter's name, so the same on every process, however
    it is sharded."""
    tensor = torch.zeros(tuple(shape))
    if ".lora_A." in name:
        generator = torch.Generator().manual_seed(derived_seed(torch.initial_seed(), name))
        torch.nn.init.kaiming_uniform_(tensor, a=math.sqrt(5), generator=generator)
    return tensor


def folded(
    state: Mapping[str, Tensor], *, scale: float, whole: Callable[[Tensor], Tensor] = lambda tensor: tensor
) -> Iterator[tuple[str, Tensor]]:
    """Weights under their own names, W + scale * B A in float32, without a trace of adapters; `whole` gathers what is
    sharded."""
    for name, tensor in state.items():
        if ".lora_" in name:
            continue
        parent, _, kind = name.rpartition(".base_layer.")
        weight = whole(tensor)
        if (down := state.get(f"{parent}.lora_A.{ADAPTER}.weight")) is not None and kind == "weight":
            update = whole(state[f"{parent}.lora_B.{ADAPTER}.weight"]).float() @ whole(down).float()
            weight = (weight.float() + scale * update).to(weight.dtype)
        yield name.replace(".base_layer.", "."), weight


def has_adapters(model: torch.nn.Module) -> bool:
    return hasattr(model, "urt_lora_scale")


def is_adapted_alone(model: torch.nn.Module) -> bool:
    """Whether adapters are all that learns, so that without them the model is what it was before training."""
    return has_adapters(model) and all(
        ".lora_" in name for name, parameter in model.named_parameters() if parameter.requires_grad
    )


@contextmanager
def without_adapters(model: torch.nn.Module) -> Iterator[None]:
    """Adapters count for nothing meanwhile. By their scale: peft's own switch also takes away `requires_grad`, which
    FSDP2 reads when it first gathers a parameter."""
    from peft.tuners.lora import LoraLayer

    layers = [module for module in model.modules() if isinstance(module, LoraLayer)]
    for layer in layers:
        layer.set_scale(ADAPTER, 0.0)
    try:
        yield
    finally:
        for layer in layers:
            layer.set_scale(ADAPTER, 1.0)
