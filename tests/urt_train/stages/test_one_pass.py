"""Every stage's loss from one pass over the head, against the same loss on log-probs of a pass of its own.

The log-probs have equal bits. The loss differs by the order in which tokens are summed, the gradient by the order of
two products: bounds of 1e-6 and 1e-5, in float32.
"""

from dataclasses import fields, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch.nn.functional import logsigmoid

from tests.urt_train.model.test_policy import batch_of
from tests.urt_train.two_steps import grpo_objective
from urt_core.errors import ConfigError
from urt_kernels import SurrogateInputs
from urt_kernels.surrogates import dpo
from urt_train.config import Batching, Mean, Ratio
from urt_train.model.batching import ExperienceBatch, SFTBatch
from urt_train.stages.cold_start.module import cross_entropy
from urt_train.stages.dpo.module import preference_margins
from urt_train.stages.grpo.config import GRPOConfig
from urt_train.stages.grpo.objective import grpo_step, surrogate_of


def of_kind(kind, batch, **more):
    return kind(**{item.name: getattr(batch, item.name) for item in fields(batch)}, **more)


def agree(policy, one_pass, two_steps):
    torch.testing.assert_close(one_pass, two_steps, rtol=1e-6, atol=1e-6)
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    ours = torch.autograd.grad(one_pass, parameters, allow_unused=True)
    theirs = torch.autograd.grad(two_steps, parameters, allow_unused=True)
    scale = max(float(each.abs().max()) for each in theirs if each is not None)
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5 * scale)


def reinforce(inputs: SurrogateInputs) -> torch.Tensor:
    return -inputs.needed("advantages") * inputs.policy_logprobs


OBJECTIVES = {
    "grpo": GRPOConfig(kl_coef=0.04),
    "dr_grpo": GRPOConfig(aggregation="dr_grpo", max_completion_tokens=9, temperature=0.8),
    "dapo": GRPOConfig(aggregation="dapo", clip_high=0.28),
    "gspo": GRPOConfig(ratio=Ratio.sequence, clip_low=3e-4, clip_high=4e-4),
    "cispo": GRPOConfig(surrogate="cispo", aggregation="dapo", kl_coef=0.02),
    "truncated importance": GRPOConfig(importance_cap=1.05),
    "a user's own": GRPOConfig(surrogate=f"{__name__}:reinforce"),
}


@pytest.mark.parametrize("batching", list(Batching))
@pytest.mark.parametrize("name", OBJECTIVES)
def test_grpo(policy, records, name, batching):
    policy.batching = batching
    config = OBJECTIVES[name]
    batch = batch_of(policy, records[:2])
    generator = torch.Generator().manual_seed(0)
    own = policy.token_logprobs(batch, temperature=config.temperature, entropy=True)

    def near() -> torch.Tensor:
        return own.logprobs.detach() + 0.1 * torch.randn(own.logprobs.shape, generator=generator)

    experience = of_kind(
        ExperienceBatch, batch, advantages=torch.randn(2, 2, generator=generator), rollout_logprobs=near(),
        reference_logprobs=near() if config.kl_coef else None, old_logprobs=near() if config.importance_cap else None,
    )  # fmt: skip
    experience = replace(experience, num_tokens=11.0, num_sequences=4.0)
    result: Any = grpo_step(policy, experience, config)
    assert torch.equal(result.policy_logprobs, own.logprobs)
    assert torch.equal(result.entropy, own.entropy)
    two_steps = grpo_objective(own.logprobs, experience, config)
    agree(policy, result.loss, two_steps.loss)
    for name, ours, theirs in zip(two_steps._fields[1:], result.sums[1:], two_steps[1:], strict=True):
        if not (name == "policy_sum" and ":" in config.surrogate):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_on_policy_ratios_are_exactly_one(policy, records):
    batch = batch_of(policy, records[:2])
    rollout = policy.token_logprobs(batch).logprobs.detach()
    experience = of_kind(ExperienceBatch, batch, advantages=torch.ones(2, 2), rollout_logprobs=rollout)
    sums: Any = grpo_step(policy, experience, GRPOConfig(kl_coef=0.0)).sums
    assert sums.ratio_sum == sums.num_tokens == batch.completion_mask.sum()


def test_cold_start_and_rejection_sampling(policy, records):
    batch = replace(of_kind(SFTBatch, batch_of(policy, records[:2], [[[10, 20, 2]], [[30, 2]]])), num_tokens=7.0)
    own = policy.token_logprobs(batch)
    result = cross_entropy(policy, batch)
    agree(policy, result.loss, -own.logprobs.sum() / 7.0)
    assert torch.equal(result.top1, own.top1)


@pytest.mark.parametrize("batching", list(Batching))
def test_the_mean_of_sequence_means_weighs_completions_alike(policy, records, batching):
    policy.batching = batching
    batch = of_kind(SFTBatch, batch_of(policy, records[:2], [[[10, 20, 30, 40, 2]], [[30, 2]]]))
    batch = replace(batch, num_tokens=70.0, num_sequences=4.0)  # of the whole step: two sequences more are elsewhere
    lengths = batch.completion_mask.sum(-1)
    means = policy.token_logprobs(batch).logprobs.sum(-1) / lengths
    agree(policy, cross_entropy(policy, batch, mean=Mean.sequences).loss, -means.sum() / 4.0)
    agree(policy, cross_entropy(policy, batch).loss, -policy.token_logprobs(batch).logprobs.sum() / 70.0)


def test_dpo(policy, records):
    batch = batch_of(policy, records[:2])
    own = policy.token_logprobs(batch).logprobs
    reference = own.detach() + 0.1
    result = policy.token_loss(
        batch,
        surrogate=partial(dpo, beta=0.3),
        sequences_together=2,
        reference_logprobs=torch.where(batch.completion_mask, reference, 0.0),
        num_tokens=2.0,
    )
    margins = preference_margins(own, torch.where(batch.completion_mask, reference, 0.0), beta=0.3)
    agree(policy, result.loss, -logsigmoid(margins).sum() / 2.0)


def test_an_empty_micro_batch_keeps_the_graph(policy, records):
    batch = of_kind(SFTBatch, batch_of(policy, records[:2], [[[], []], [[], []]]))
    losses: tuple[torch.Tensor, ...] = (
        cross_entropy(policy, batch).loss,
        policy.token_loss(batch, surrogate="dpo", reference_logprobs=torch.zeros(batch.completion_mask.shape)).loss,
    )
    for loss in losses:
        assert float(loss.detach()) == 0.0
        loss.backward()
    assert all(each.grad is not None for each in policy.model.get_output_embeddings().parameters())


def test_a_wrong_path_is_said_before_the_first_rollout():
    with pytest.raises(ConfigError, match=r"grpo\.surrogate is 'klip'; allowed: clip, cispo, or an import path"):
        surrogate_of(GRPOConfig(surrogate="klip"))
