"""The policy's log-probs against the model's own logits and against the engine's; freezing by module."""

import pytest
import torch

from urt_core import SamplingParams, render
from urt_train.config import Batching
from urt_train.model.batching import TokenBatch, pack_completions
from urt_train.model.policy import Policy

ROWS = [[[10, 20, 30, 2], [40, 2]], [[50, 60, 2], [70, 80, 90]]]  # 2 is the EOS


def batch_of(policy, records, rows=None) -> TokenBatch:
    ids, mask = pack_completions(ROWS if rows is None else rows)
    prompts = policy.encode([render(record, policy.spec.dialect) for record in records])
    return TokenBatch(prompts=prompts, completion_ids=ids, completion_mask=mask)


@pytest.mark.parametrize("batching", list(Batching))
def test_log_probs_are_those_of_each_row_alone(policy, records, batching):
    """No padding, no sharing, the model's own positions and logits: one row [prompt | completion] at a time."""
    policy.batching = batching
    result = policy.token_logprobs(batch_of(policy, records[:2]), temperature=0.5, entropy=True)
    for number, record in enumerate(records[:2]):
        prompt = policy.encode([render(record, policy.spec.dialect)])
        for completion, tokens in enumerate(ROWS[number]):
            ids = torch.cat([prompt["input_ids"], torch.tensor([tokens])], dim=1)
            types = torch.nn.functional.pad(prompt["mm_token_type_ids"], (0, len(tokens)))
            inputs = {**prompt, "input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": types}
            logits = policy.model(**inputs).logits[0, -len(tokens) - 1 : -1]
            expected = (logits / 0.5).log_softmax(-1)
            chosen = expected.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
            torch.testing.assert_close(result.logprobs[number, completion, : len(tokens)], chosen, rtol=1e-5, atol=1e-5)
            entropy = -(expected.exp() * expected).sum(-1)
            torch.testing.assert_close(result.entropy[number, completion, : len(tokens)], entropy, rtol=1e-5, atol=1e-5)
            assert (result.logprobs[number, completion, len(tokens) :] == 0).all()


@pytest.mark.parametrize("batching", list(Batching))
def test_engine_and_trainer_agree(policy, records, batching):
    policy.batching = batching
    prompts = [render(record, policy.spec.dialect) for record in records[:4]]
    sampling = SamplingParams(temperature=0.8, max_tokens=12, seed=3, num_completions=3, logprobs=True)
    groups = policy.engine().generate(prompts, sampling)
    batch = batch_of(policy, records[:4], [[completion.token_ids for completion in group] for group in groups])
    trainer = policy.token_logprobs(batch, temperature=0.8).logprobs
    for number, group in enumerate(groups):
        for column, completion in enumerate(group):
            expected = torch.tensor(completion.logprobs)
            torch.testing.assert_close(trainer[number, column, : len(expected)], expected, rtol=1e-4, atol=1e-4)


def test_images_matter(policy, records):
    """Two pairs with their pictures exchanged: were pixels lost on the way, nothing would change."""
    batch = batch_of(policy, records[:1] + records[:1], ROWS)
    exchanged = {**batch.prompts, "pixel_values": batch.prompts["pixel_values"].flip(0)}
    before = policy.token_logprobs(batch).logprobs
    after = policy.token_logprobs(
        TokenBatch(prompts=exchanged, completion_ids=batch.completion_ids, completion_mask=batch.completion_mask)
    ).logprobs
    assert (before - after).abs().max() > 1e-3


def test_parts_are_frozen_by_module(policy):
    policy.select_trainable(language=True, vision=False, projector=False)
    learning = {name for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert learning
    assert not any("visual" in name for name in learning)
    policy.select_trainable(language=False, vision=False, projector=True)
    learning = {name for name, parameter in policy.model.named_parameters() if parameter.requires_grad}
    assert learning
    assert all("merger" in name for name in learning)


def test_the_reference_stays_as_it_was(policy, records):
    reference = policy.reference()
    batch = batch_of(policy, records[:2])
    before = policy.token_logprobs(batch).logprobs.detach()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.01)
    torch.testing.assert_close(reference.token_logprobs(batch).logprobs, before, rtol=0, atol=0)
    assert not any(parameter.requires_grad for parameter in reference.parameters())
    assert (policy.token_logprobs(batch).logprobs - before).abs().max() > 1e-3


def test_gradient_checkpointing_changes_nothing(policy, records):
    gradients = []
    for checkpointing in (False, True):
        policy.zero_grad()
        policy.train()
        policy.batching = Batching.shared_prefix
        if checkpointing:
            policy.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        policy.token_logprobs(batch_of(policy, records[:2])).logprobs.sum().backward()
        gradients.append(torch.cat([parameter.grad.flatten() for parameter in policy.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-6, atol=1e-6)


def test_a_folder_that_is_no_model_says_so(tmp_path, spec):
    from urt_core.errors import CheckpointError

    with pytest.raises(CheckpointError, match=r"config\.json is missing; a model's folder has it beside its weights"):
        Policy.from_pretrained(tmp_path, spec=spec)
