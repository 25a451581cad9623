"""Weights whole and under their Hugging Face names, one at a time; adapters are folded in."""

import importlib.util

import pytest
import torch

from urt_train.config import LoraConfig
from urt_train.model.lora import add_adapters
from urt_train.model.weights import gathered, whole_weights


def test_whole_weights_are_the_live_ones_without_their_gradient(policy):
    found = dict(whole_weights(policy.model))
    assert found.keys() == policy.model.state_dict().keys()
    parameters = dict(policy.model.named_parameters())
    for name, parameter in parameters.items():
        assert found[name].data_ptr() == parameter.data_ptr(), "no copy is made of what is whole already"
        assert not found[name].requires_grad


@pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")
def test_adapters_are_in_the_weights_that_they_adapt_and_nowhere_else(policy):
    before = {name: tensor.clone() for name, tensor in whole_weights(policy.model)}
    add_adapters(policy.model, LoraConfig(rank=2, alpha=4.0))
    torch.manual_seed(0)
    products = {}
    for name, module in policy.model.named_modules():
        if hasattr(module, "lora_A") and module.lora_A:
            down, up = module.lora_A["default"].weight, module.lora_B["default"].weight
            torch.nn.init.normal_(up)
            products[name.removeprefix("base_model.model.") + ".weight"] = 4.0 / 2 * up.detach() @ down.detach()
    after = dict(whole_weights(policy.model))
    assert after.keys() == before.keys()
    assert products.keys() <= before.keys()
    for name, tensor in after.items():
        torch.testing.assert_close(tensor, before[name] + products.get(name, 0.0), rtol=1e-5, atol=1e-6)
    assert len(products) > 0


def test_a_shard_is_gathered(policy):
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        mesh = init_device_mesh("cpu", (2,))
        whole = gathered(torch.nn.Parameter(distribute_tensor(torch.ones(5, 3), mesh, [Shard(0)])))
    finally:
        distributed.destroy_process_group()
    assert type(whole) is torch.Tensor
    assert whole.shape == (5, 3)
    assert not whole.requires_grad
