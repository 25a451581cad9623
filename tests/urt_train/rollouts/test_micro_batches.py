"""Rollouts cut into micro-batches: in drawn order and by tokens, every completion once with what belongs to it."""

from dataclasses import replace

import pytest
import torch

from tests.urt_train.rollouts.test_rollout import completion, sampled
from urt_core import Completion, Dialect, render
from urt_train.config.stage import RoundPlan
from urt_train.model.batching import ExperienceBatch
from urt_train.model.pass_cost import PassCost
from urt_train.model.policy import Policy
from urt_train.rollouts.micro_batches import micro_batches, steps_of, without_idle_groups
from urt_train.rollouts.rollout import experience


@pytest.fixture(scope="module")
def policy(tiny_folder, spec):
    return Policy.from_pretrained(tiny_folder, spec=spec)


def batches_of(rollout: ExperienceBatch, *, plan: RoundPlan, policy: Policy, has_reference: bool = True):
    cost, device = PassCost(policy.model, is_packed=True), torch.device("cpu")
    steps = steps_of(rollout, plan.steps_per_round)
    settings = {"plan": plan, "has_reference": has_reference, "cost": cost, "device": device}
    return [batch for step in steps for batch in micro_batches(step, **settings)]


@pytest.mark.parametrize(
    ("num_batches", "size", "tokens"),
    [
        *((1, 12, None), (2, 8, None), (3, 4, None), (6, 2, None), (12, 1, None), (8, 2, None)),
        *((3, 4, 1), (3, 4, 10**6), (12, 1, 200), (8, 2, 300)),
    ],
)
def test_cut_rollouts_keep_every_token_with_its_advantage(policy, records, num_batches, size, tokens):
    prompts = policy.encode([render(record, Dialect.V1) for record in records[:3]])
    groups = [
        [
            Completion(
                text="",
                token_ids=tuple([7 + prompt, 20 + number][: 1 + number % 2]),
                logprobs=(-1.0, -2.0)[: 1 + number % 2],
            )
            for number in range(4)
        ]
        for prompt in range(3)
    ]
    advantages = torch.arange(12.0).reshape(3, 4)
    rollout = experience(sampled(prompts, groups), advantages, mask_truncated=False)
    plan = RoundPlan(records_per_rank=3, batch_size=size, batches_per_round=num_batches, steps_per_round=1)
    plan = replace(plan, tokens_per_batch=tokens)
    batches = batches_of(rollout, plan=plan, policy=policy)
    assert len(batches) == num_batches
    found = {}
    for batch in batches:
        assert not (batch.is_skipped and batch.completion_mask.any())
        for p, g in batch.completion_mask.any(-1).nonzero().tolist():
            found[batch.advantages[p, g].item()] = (
                batch.completion_ids[p, g][batch.completion_mask[p, g]].tolist(),
                batch.rollout_logprobs[p, g][batch.completion_mask[p, g]].tolist(),
            )
    expected = {
        advantages[prompt, number].item(): (list(one.token_ids), list(one.logprobs))
        for prompt, group in enumerate(groups)
        for number, one in enumerate(group)
    }
    assert found == expected


def test_of_a_short_rollout_every_step_gets_its_share(policy, records):
    """Three prompts where there is room for eight, four steps on them: one step is empty, not three."""
    prompts = policy.encode([render(record, Dialect.V1) for record in records[:3]])
    rollout = experience(sampled(prompts, [[completion("")] * 2] * 3), torch.ones(3, 2), mask_truncated=False)
    plan = RoundPlan(records_per_rank=8, batch_size=2, batches_per_round=8, steps_per_round=4)
    batches = batches_of(rollout, plan=plan, policy=policy)
    in_steps = [[bool(batch.completion_mask.any()) for batch in batches[step * 2 : step * 2 + 2]] for step in range(4)]
    assert in_steps == [[False, False], [True, False], [True, False], [True, False]]


def test_room_for_tokens_packs_short_groups_and_skips_what_is_left(policy, records):
    """Six groups, room for about two: three micro-batches are computed, three skipped, the computed ones last."""
    prompts = policy.encode([render(records[0], Dialect.V1)] * 6)
    rollout = experience(sampled(prompts, [[completion("")] * 2] * 6), torch.ones(6, 2), mask_truncated=False)
    one = PassCost(policy.model, is_packed=True).of(rollout.select([0])).tokens
    plan = RoundPlan(
        records_per_rank=6, batch_size=2, batches_per_round=6, steps_per_round=1, tokens_per_batch=2 * one + 1
    )
    batches = batches_of(rollout, plan=plan, policy=policy)
    assert [batch.is_skipped for batch in batches] == [True] * 3 + [False] * 3
    assert [len(batch.advantages) for batch in batches[3:]] == [2, 2, 2]


def test_groups_that_teach_nothing_take_no_room(policy, records):
    prompts = policy.encode([render(record, Dialect.V1) for record in records[:3]])
    advantages = torch.tensor([[1.0, -1.0], [0.0, 0.0], [1.0, -1.0]])
    rollout = experience(sampled(prompts, [[completion("")] * 2] * 3), advantages, mask_truncated=False)
    plan = RoundPlan(records_per_rank=3, batch_size=2, batches_per_round=3, steps_per_round=1, tokens_per_batch=1)
    batches = batches_of(rollout, plan=plan, policy=policy, has_reference=False)
    assert [batch.is_skipped for batch in batches] == [True, False, False]
    assert all(batch.advantages.tolist() == [[1.0, -1.0]] for batch in batches[1:])
    assert without_idle_groups(rollout.select([1])) is None
