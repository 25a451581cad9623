"""What lies on each device all the time: weights, gradients, optimizer state, a reference copy; and what each strategy
adds.

Sizes are counted parameter by parameter. AdamW keeps two moments of a parameter's own type. What the strategies do is
read from their code: torch's FSDP2 (torch/distributed/fsdp/_fully_shard), DDP (torch/nn/parallel/distributed.py) and
DeepSpeed 0.19 (deepspeed/runtime/zero: bf16 weights, float32 master weights and moments, sharded).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import torch
from torch import nn

from urt_train.config import TrainConfig
from urt_train.experiment.dry_run.live_bytes import tensor_bytes
from urt_train.experiment.dry_run.passes import Arithmetic
from urt_train.model.lora import is_adapted_alone
from urt_train.model.policy import Policy
from urt_train.model.sharding import blocks
from urt_train.runtime.machine import zero_stage

DEEPSPEED_BUCKET = 500_000_000
"""Elements of `reduce_bucket_size`, DeepSpeed's default."""
DEEPSPEED_LIVE = 1_000_000_000
"""Elements of `stage3_max_live_parameters`, DeepSpeed's default."""
GATHERED_BLOCKS = 3
"""FSDP2 holds the block that computes, the next one, and the buffer that one is gathered in."""


class Strategy(StrEnum):
    """How the policy is spread."""

    ALONE = "one device"
    DDP = "ddp"
    FSDP2 = "fsdp2"
    ZERO2 = "deepspeed_zero2"
    ZERO3 = "deepspeed_zero3"
    ZERO3_OFFLOAD = "deepspeed_zero3_offload"

    @property
    def is_deepspeed(self) -> bool:
        return self in (Strategy.ZERO2, Strategy.ZERO3, Strategy.ZERO3_OFFLOAD)


def strategy_of(config: TrainConfig) -> Strategy:
    target = str(config.strategy.get("_target_", ""))
    if target.endswith("ModelParallelStrategy"):
        return Strategy.FSDP2
    if stage := zero_stage(config.strategy):
        offloads = "offload_optimizer" in config.strategy["config"]["zero_optimization"]
        return Strategy.ZERO2 if stage < 3 else Strategy.ZERO3_OFFLOAD if offloads else Strategy.ZERO3
    return Strategy.DDP if config.dry_run.devices > 1 else Strategy.ALONE


def num_shards(config: TrainConfig) -> int:
    """Devices that a sharded policy is spread over: all, or those that hold one copy of it (`strategy.shard_over`)."""
    devices, over = config.dry_run.devices, config.strategy.get("shard_over")
    if over is None:
        return devices
    return min(devices, -(-devices // config.trainer.num_nodes) if over == "node" else int(over))


def arithmetic_of(config: TrainConfig, strategy: Strategy) -> Arithmetic:
    """FSDP2 casts weights to the computing type itself, DeepSpeed holds them in it; elsewhere autocast does."""
    is_mixed = config.trainer.precision == "bf16-mixed"
    casts = is_mixed and (strategy is Strategy.FSDP2 or strategy.is_deepspeed)
    return Arithmetic(torch.bfloat16 if casts else None, is_mixed and not strategy.is_deepspeed)


class States(NamedTuple):
    """Bytes on one device, on the one with the most."""

    weights: float
    gradients: float
    optimizer: float
    reference: float


def states_of(
    policy: Policy, strategy: Strategy, *, devices: int, arithmetic: Arithmetic, has_reference: bool
) -> States:
    parameters = list(policy.parameters())
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    share = devices if strategy is Strategy.FSDP2 else 1

    def stored(chosen: list[nn.Parameter]) -> float:
        return sum(local_numel(parameter, share) * parameter.element_size() for parameter in chosen)

    reference = stored(parameters) if has_reference and not is_adapted_alone(policy.model) else 0
    if strategy.is_deepspeed:
        size = (arithmetic.weights or torch.float32).itemsize
        trained = sum(parameter.numel() for parameter in learning)
        whole = sum(parameter.numel() for parameter in parameters) * size
        if strategy is Strategy.ZERO3_OFFLOAD:
            return States(0, 0, 0, reference)
        weights = whole if strategy is Strategy.ZERO2 else whole / devices
        return States(weights, trained * size / devices, 12 * trained / devices, reference)
    steps = 4 * len(learning)
    return States(stored(parameters), stored(learning), 2 * stored(learning) + steps, reference)


def local_numel(parameter: torch.Tensor, devices: int) -> int:
    """FSDP2 splits the first axis evenly, the last pieces padded."""
    if devices == 1 or not parameter.dim():
        return parameter.numel()
    return -(-parameter.shape[0] // devices) * (parameter.numel() // max(1, parameter.shape[0]))


class Extra(NamedTuple):
    """Bytes that a strategy needs beside the states: Extra(sampling=..., layers=..., end=..., step=...)"""

    sampling: float
    """Weights made whole for sampling."""
    layers: float
    """While layers compute: gathered weights, whole gradients, buckets."""
    end: float
    """When the backward pass has gone through the layers, and the rest of the gradients is reduced."""
    step: float
    """While the optimizer steps."""
    resting: float
    """All the time."""


def extra_of(policy: Policy, strategy: Strategy, *, devices: int, arithmetic: Arithmetic, has_reference: bool) -> Extra:
    learning = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    if strategy is Strategy.FSDP2:
        return _extra_of_fsdp2(policy, devices=devices, dtype=arithmetic.weights, has_reference=has_reference)
    if strategy.is_deepspeed:
        size = (arithmetic.weights or torch.float32).itemsize
        gathered = 0 if strategy is Strategy.ZERO2 else DEEPSPEED_LIVE * size
        buckets = (2 if strategy is Strategy.ZERO2 else 1) * DEEPSPEED_BUCKET * size
        master = 0 if strategy is Strategy.ZERO3_OFFLOAD else 4 * sum(p.numel() for p in learning) / devices
        return Extra(0, gathered + buckets, gathered + buckets, master, 0)
    stored = sum(map(tensor_bytes, learning))
    # AdamW over all parameters at once (foreach) takes the roots of all second moments; gradients are copied into DDP's
    # buckets.
    return Extra(0, 0, 0, stored, stored if strategy is Strategy.DDP else 0)


def _extra_of_fsdp2(policy: Policy, *, devices: int, dtype: torch.dtype | None, has_reference: bool) -> Extra:
    """Blocks are gathered and given back one by one. The rest (embedding, head, norms) is one group, whole from the
    first forward pass to the end of the backward pass; its gradients are reduced last, in float32. A reference has such
    a rest, too, and never a backward pass: it stays whole."""

    def computing(parameter: nn.Parameter) -> int:
        return tensor_bytes(parameter, dtype)

    def reducing(parameters: list[nn.Parameter]) -> float:
        return sum(computing(p) + tensor_bytes(p, torch.float32) for p in parameters if p.requires_grad)

    in_blocks = [list(block.parameters()) for block in blocks(policy)]
    known = {id(parameter) for parameters in in_blocks for parameter in parameters}
    rest = [parameter for parameter in policy.parameters() if id(parameter) not in known]
    rest_bytes = sum(map(computing, rest))
    block_bytes = max(sum(map(computing, parameters)) for parameters in in_blocks)
    head: Any = policy.model.get_output_embeddings().weight
    head_gradient = computing(head) if head.requires_grad else 0
    whole = sum(map(computing, policy.parameters()))
    return Extra(
        sampling=whole + rest_bytes,
        layers=rest_bytes + GATHERED_BLOCKS * block_bytes + head_gradient + max(map(reducing, in_blocks)),
        end=rest_bytes + reducing(rest),
        step=max(local_numel(p, devices) * p.element_size() for p in policy.parameters()),
        resting=rest_bytes if has_reference and not is_adapted_alone(policy.model) else 0,
    )
