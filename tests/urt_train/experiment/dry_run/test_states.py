"""Weights, gradients and optimizer state against those of a real step, and of FSDP2's real shards."""

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

from urt_train.cli import compose
from urt_train.config import LoraConfig, ModelConfig
from urt_train.experiment.dry_run.model import meta_policy
from urt_train.experiment.dry_run.passes import Arithmetic
from urt_train.experiment.dry_run.shape import shape_of
from urt_train.experiment.dry_run.states import Strategy, arithmetic_of, local_numel, num_shards, states_of, strategy_of
from urt_train.experiment.run import open_policy
from urt_train.experiment.steps import initial_model
from urt_train.model.sharding import shard
from urt_train.stages import train_config

AS_STORED = Arithmetic(weights=None, is_autocast=False)


@pytest.mark.parametrize("lora", [LoraConfig(), LoraConfig(rank=2)], ids=["whole", "adapters"])
def test_one_step_leaves_what_was_computed(lora, tiny_folder) -> None:
    config = train_config()(model=ModelConfig(base=str(tiny_folder), lora=lora))
    policy = open_policy(config, initial_model(config, config.stage))
    learning = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-3)
    gradients = [torch.ones_like(parameter) for parameter in learning]
    for parameter, gradient in zip(learning, gradients, strict=True):
        parameter.grad = gradient
    optimizer.step()
    computed = states_of(
        meta_policy(config, shape_of(str(tiny_folder)), "cold_start"),
        Strategy.ALONE,
        devices=1,
        arithmetic=AS_STORED,
        has_reference=True,
    )
    assert computed.weights == sum(parameter.nbytes for parameter in policy.parameters())
    assert computed.gradients == sum(gradient.nbytes for gradient in gradients)
    assert computed.optimizer == sum(value.nbytes for state in optimizer.state.values() for value in state.values())
    reference = policy.reference()
    assert computed.reference == (0 if reference is policy else computed.weights)


@pytest.fixture
def mesh():
    """Eight ranks of which seven are not there: what this one holds is real."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=8)
    yield init_device_mesh("cpu", (8,))
    distributed.destroy_process_group()


def test_the_shards_of_fsdp2_are_what_was_computed(policy, mesh) -> None:
    computed = states_of(policy, Strategy.FSDP2, devices=8, arithmetic=AS_STORED, has_reference=False)
    shapes = [local_numel(parameter, 8) for parameter in policy.parameters()]
    shard(policy, mesh, compute_dtype=None)
    local = [parameter.to_local() for parameter in policy.parameters()]
    assert [tensor.numel() for tensor in local] == shapes, "of the first rank, which has the most"
    assert computed.weights == sum(tensor.nbytes for tensor in local)


@pytest.mark.parametrize(
    ("overrides", "strategy", "arithmetic"),
    [
        (["recipe=qwen3_vl_8b"], Strategy.FSDP2, Arithmetic(torch.bfloat16, True)),
        (["recipe=paper_llava_7b"], Strategy.ZERO2, Arithmetic(torch.bfloat16, False)),
        (["strategy=deepspeed_zero3"], Strategy.ZERO3, Arithmetic(None, False)),
        (["strategy=deepspeed_zero3_offload"], Strategy.ZERO3_OFFLOAD, Arithmetic(None, False)),
        (["recipe=qwen3_vl_2b_lora_24gb"], Strategy.ALONE, Arithmetic(None, True)),
        (["dry_run.devices=2"], Strategy.DDP, Arithmetic(None, False)),
    ],
)
def test_a_config_says_which_strategy_and_arithmetic(overrides, strategy, arithmetic) -> None:
    config = compose(overrides)
    assert strategy_of(config) is strategy
    assert arithmetic_of(config, strategy) == arithmetic


def test_deepspeed_holds_bf16_weights_and_shares_float32_ones(policy) -> None:
    """16 bytes for each of N trained parameters on one device: 2 of weight, 2 of gradient, 4 of master weight, 8 of
    moments; on eight the last 14 are shared by ZeRO-2, all by ZeRO-3."""
    total = sum(parameter.numel() for parameter in policy.parameters())
    mixed = Arithmetic(torch.bfloat16, False)
    zero2, zero3 = (
        sum(states_of(policy, strategy, devices=8, arithmetic=mixed, has_reference=False))
        for strategy in (Strategy.ZERO2, Strategy.ZERO3)
    )
    assert zero2 == pytest.approx((2 + 14 / 8) * total)
    assert zero3 == pytest.approx(16 / 8 * total)


def test_hybrid_sharding_spreads_over_the_devices_of_one_copy() -> None:
    machine = ["recipe=qwen3_vl_8b", "dry_run.devices=32", "trainer.num_nodes=4"]
    shards = {
        name: num_shards(compose([*machine, f"strategy={name}", *more]))
        for name, more in (("fsdp2", []), ("hsdp", []), ("ddp", []))
    }
    assert shards == {"fsdp2": 32, "hsdp": 8, "ddp": 32}
    assert num_shards(compose([*machine, "strategy=hsdp", "strategy.shard_over=16"])) == 16
    assert strategy_of(compose([*machine, "strategy=hsdp"])) is Strategy.FSDP2
