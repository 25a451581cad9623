"""Adapters: only they learn, and the exported weights judge as the adapted model does."""

import importlib.util

import pytest
import torch

from urt_core import PreferenceRecord, render
from urt_core.errors import ConfigError
from urt_train.config import Batching, LoraConfig
from urt_train.model.batching import TokenBatch, pack_completions
from urt_train.model.export import export_judge
from urt_train.model.lora import add_adapters, folded
from urt_train.model.policy import Policy

needs_peft = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft")


def test_folding_adds_the_scaled_product():
    base, down, up = torch.randn(5, 4), torch.randn(2, 4), torch.randn(5, 2)
    state = {
        "layers.0.q_proj.base_layer.weight": base,
        "layers.0.q_proj.base_layer.bias": torch.ones(5),
        "layers.0.q_proj.lora_A.default.weight": down,
        "layers.0.q_proj.lora_B.default.weight": up,
        "norm.weight": torch.ones(4),
    }
    plain = dict(folded(state, scale=0.5))
    assert list(plain) == ["layers.0.q_proj.weight", "layers.0.q_proj.bias", "norm.weight"]
    torch.testing.assert_close(plain["layers.0.q_proj.weight"], base + 0.5 * up @ down)


def test_without_peft_the_error_names_the_remedy(policy, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(
        ConfigError, match=r"model\.lora\.rank is above 0, which needs peft: pip install \"urt-train\[lora\]\""
    ):
        add_adapters(policy.model, LoraConfig(rank=2))


@needs_peft
@pytest.mark.parametrize("batching", list(Batching))
def test_only_adapters_learn_and_export_folds_them_in(policy, records, spec, tmp_path, batching):
    policy.batching = batching
    policy.select_trainable(language=True, vision=False, projector=False)
    add_adapters(policy.model, LoraConfig(rank=2, alpha=4.0))
    learning = [name for name, parameter in policy.named_parameters() if parameter.requires_grad]
    assert learning
    assert all("lora_" in name for name in learning)
    batch = one_group(policy, records[0])
    before = policy.token_logprobs(batch).logprobs.detach()
    learn_something(policy)
    adapted = policy.token_logprobs(batch).logprobs
    assert (adapted - before).abs().max() > 1e-2
    exported = Policy.from_pretrained(export_judge(policy, tmp_path / "model"), spec=spec)
    torch.testing.assert_close(exported.token_logprobs(batch).logprobs, adapted, rtol=1e-5, atol=1e-5)


@needs_peft
def test_an_untied_head_does_not_learn_beside_the_adapters(policy):
    head = policy.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())  # tied to the embedding in the model of the tests
    policy.select_trainable(language=True, vision=False, projector=False)
    add_adapters(policy.model, LoraConfig(rank=2))
    assert not head.weight.requires_grad
    assert policy.reference() is policy


@needs_peft
def test_layers_that_are_not_there_are_named(policy):
    with pytest.raises(ConfigError, match=r"model\.lora\.targets are \['sideways'\]"):
        add_adapters(policy.model, LoraConfig(rank=2, targets=["sideways"]))


@needs_peft
@pytest.mark.parametrize("batching", list(Batching))
def test_the_reference_of_adapters_is_the_policy_without_them_and_no_copy(policy, records, batching):
    policy.batching = batching
    batch = one_group(policy, records[0])
    before = policy.token_logprobs(batch).logprobs.detach()
    policy.select_trainable(language=True, vision=False, projector=False)
    add_adapters(policy.model, LoraConfig(rank=2, alpha=4.0))
    reference = policy.reference()
    assert reference is policy
    learn_something(policy)
    adapted = policy.token_logprobs(batch).logprobs.detach()
    with torch.no_grad():
        torch.testing.assert_close(reference.reference_logprobs(batch), before, rtol=0, atol=1e-6)
    after = policy.token_logprobs(batch).logprobs
    assert torch.equal(after, adapted), "the adapters count again"
    after.sum().backward()
    assert all(parameter.grad is not None for parameter in policy.parameters() if parameter.requires_grad)


@needs_peft
def test_what_learns_beside_the_adapters_needs_a_copy(policy, records):
    policy.select_trainable(language=True, vision=False, projector=True)
    add_adapters(policy.model, LoraConfig(rank=2))
    reference = policy.reference()
    batch = one_group(policy, records[0])
    before = policy.token_logprobs(batch).logprobs.detach()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.1 if parameter.requires_grad else 1.0)
    torch.testing.assert_close(reference.reference_logprobs(batch), before, rtol=0, atol=1e-6)
    assert (policy.token_logprobs(batch).logprobs - before).abs().max() > 1e-4


def one_group(policy: Policy, record: PreferenceRecord) -> TokenBatch:
    ids, mask = pack_completions([[[10, 20, 2], [30, 2]]])
    prompts = policy.encode([render(record, policy.spec.dialect)])
    return TokenBatch(prompts=prompts, completion_ids=ids, completion_mask=mask)


def learn_something(policy: Policy) -> None:
    """Adapters start as nothing: B is 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
