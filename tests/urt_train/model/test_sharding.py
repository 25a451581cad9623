"""FSDP2 by blocks: which modules are a unit, and that whole weights are there for as long as the engine runs."""

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor

from urt_core import render
from urt_train.model.batching import SFTBatch, encode_completions, pack_completions
from urt_train.model.sharding import blocks, shard


@pytest.fixture
def alone(tmp_path):
    """A process group of one, whose collectives are real."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_a_unit_is_a_layer_of_text_or_vision(policy):
    found = blocks(policy)
    text, vision = policy.model.model.language_model.layers, policy.model.model.visual.blocks
    assert {id(block) for block in found} == {id(layer) for layer in (*text, *vision)}
    assert len(found) == 2 + 2


def test_sharded_it_gives_the_same_log_probs_and_gradients(policy, records, spec, alone):
    encoded = policy.encode([render(record, spec.dialect) for record in records[:2]])
    targets = encode_completions(policy.tokenizer, ["a cat", "two dogs on a mat"])
    ids, mask = pack_completions([[target] for target in targets])
    batch = SFTBatch(prompts=encoded, completion_ids=ids, completion_mask=mask)

    def pass_over() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        policy.zero_grad()
        values = policy.token_logprobs(batch).logprobs
        values[mask].sum().backward()
        gradients = {
            name: parameter.grad.full_tensor() if isinstance(parameter.grad, DTensor) else parameter.grad.clone()
            for name, parameter in policy.named_parameters()
            if parameter.grad is not None
        }
        return values[mask].detach(), gradients

    whole, expected = pass_over()
    shard(policy, alone, compute_dtype=None)
    assert isinstance(policy, FSDPModule)
    sharded, gradients = pass_over()
    torch.testing.assert_close(sharded, whole, rtol=0, atol=1e-6)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-5, atol=1e-6)


def test_weights_are_whole_while_the_engine_runs_and_layers_are_sharded_behind_it(policy, alone):
    """What stands outside of the layers is the root's: whole until the next backward pass, as in any forward pass."""
    in_layers = {f"{name}." for name, module in policy.named_modules() if module in blocks(policy)}
    shard(policy, alone, compute_dtype=None)

    def whole() -> set[str]:
        return {name for name, parameter in policy.named_parameters() if not isinstance(parameter, DTensor)}

    everything = {name for name, _ in policy.named_parameters()}
    outside = {name for name in everything if not any(name.startswith(layer) for layer in in_layers)}
    assert outside < everything
    assert whole() == set()
    assert policy.with_whole_weights(whole) == everything
    assert whole() == outside

    def failing() -> None:
        raise RuntimeError("an engine that fails")

    with pytest.raises(RuntimeError, match="an engine that fails"):
        policy.with_whole_weights(failing)
    assert whole() <= outside
