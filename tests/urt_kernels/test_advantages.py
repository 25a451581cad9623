"""group_advantages against the formulas in fp64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from urt_kernels import group_advantages


def test_grpo_uses_the_ddof_1_std():
    rewards = torch.tensor([[1.0, 0.0, 1.0, 2.0], [0.5, 0.5, 0.0, 0.0]], dtype=torch.float64)
    expected = (rewards - rewards.mean(-1, keepdim=True)) / (rewards.std(-1, keepdim=True) + 1e-4)
    torch.testing.assert_close(group_advantages(rewards).advantages, expected)
    torch.testing.assert_close(group_advantages(rewards.flatten(), group_size=4).advantages, expected.flatten())


@pytest.mark.parametrize("reward", [0.1, 0.7, 0.9, 1e4 + 0.3])
@pytest.mark.parametrize("group_size", [1, 5, 6, 7, 8])
def test_equal_rewards_give_exactly_zero(reward, group_size):
    result = group_advantages(torch.full((3, group_size), reward))
    assert torch.equal(result.advantages, torch.zeros(3, group_size))
    assert result.degenerate.all()


def test_nan_is_a_missing_reward():
    result = group_advantages(torch.tensor([[1.0, float("nan"), 0.0]], dtype=torch.float64))
    std = 0.5**0.5
    expected = torch.tensor([[0.5 / (std + 1e-4), 0.0, -0.5 / (std + 1e-4)]], dtype=torch.float64)
    torch.testing.assert_close(result.advantages, expected)
    assert result.num_rewards.tolist() == [2]


def test_modes():
    rewards = torch.tensor([[1.0, 0.0, 0.0, 2.0], [0.0, 0.0, 3.0, 1.0]], dtype=torch.float64)
    deviation = rewards - rewards.mean(-1, keepdim=True)
    torch.testing.assert_close(group_advantages(rewards, mode="dr_grpo").advantages, deviation)
    others = (rewards.sum(-1, keepdim=True) - rewards) / 3
    torch.testing.assert_close(group_advantages(rewards, mode="rloo").advantages, rewards - others)
    batch = group_advantages(rewards, mode="batch").advantages
    torch.testing.assert_close(batch, deviation / (rewards.std() + 1e-4))


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-10, 10), min_size=0, max_size=9), min_size=1, max_size=6))
def test_ragged_groups_equal_each_group_by_itself(groups):
    flat = torch.tensor([reward for group in groups for reward in group], dtype=torch.float64)
    offsets = torch.tensor([0, *(len(group) for group in groups)]).cumsum(0)
    result = group_advantages(flat, group_offsets=offsets)
    alone = [
        group_advantages(torch.tensor([group], dtype=torch.float64)).advantages[0] for group in groups if len(group) > 0
    ]
    torch.testing.assert_close(result.advantages, torch.cat([torch.zeros(0, dtype=torch.float64), *alone]))
    assert result.num_rewards.tolist() == [len(group) for group in groups]


@settings(deadline=None)
@given(
    st.lists(st.integers(-4, 4), min_size=2, max_size=9),
    st.sampled_from(["grpo", "dr_grpo", "rloo"]),
    st.sampled_from([0.0, 100.0, 1000.0]),
)
def test_advantages_sum_to_zero_and_ignore_a_shift(steps, mode, shift):
    rewards = torch.tensor([steps], dtype=torch.float64) / 4
    advantages = group_advantages(rewards, mode=mode).advantages
    torch.testing.assert_close(advantages.sum(), torch.zeros((), dtype=torch.float64), atol=1e-9, rtol=0)
    torch.testing.assert_close(group_advantages(rewards + shift, mode=mode).advantages, advantages, atol=1e-9, rtol=0)


def test_close_rewards_far_from_zero_keep_their_digits():
    """E[x^2] - E[x]^2 in fp32 gives 0.25 here where the standard deviation is 3.3e-3."""
    rewards = torch.tensor([[0.0] * 7 + [0.01]]) + 1000
    expected = rewards.double().std(-1).float()
    torch.testing.assert_close(group_advantages(rewards).std, expected)


def test_weighted_rewards():
    accuracy = torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    style = torch.tensor([[0.0, 10.0, 20.0, 30.0]], dtype=torch.float64)
    rewards = torch.stack([accuracy, style], -1)
    summed = group_advantages(rewards, weights=[1.0, 0.5])
    torch.testing.assert_close(summed.advantages, group_advantages(accuracy + 0.5 * style).advantages)
    each = group_advantages(rewards, weights=[1.0, 0.5], combine="normalize_then_sum")
    expected = group_advantages(accuracy).advantages + 0.5 * group_advantages(style).advantages
    torch.testing.assert_close(each.advantages, expected)
    only_first = group_advantages(rewards, weights=[1.0, 0.0])
    torch.testing.assert_close(only_first.advantages, group_advantages(accuracy).advantages)


def test_a_missing_component_is_never_read_as_zero():
    nan = float("nan")
    rewards = torch.tensor([[[1.0, nan], [0.0, nan]], [[1.0, 2.0], [0.0, nan]]], dtype=torch.float64)
    result = group_advantages(rewards, weights=[1.0, 1.0])
    # Missing in the whole group: it does not apply there. Missing for one sample: that sample has no reward.
    torch.testing.assert_close(result.advantages[0], group_advantages(rewards[:1, :, 0]).advantages[0])
    assert result.num_rewards.tolist() == [2, 1]
    assert result.degenerate.tolist() == [False, True]


def test_statistics_of_a_group_without_rewards():
    result = group_advantages(torch.tensor([[float("nan")] * 3]))
    assert result.mean.isnan().all()
    assert result.advantages.tolist() == [[0.0, 0.0, 0.0]]
    assert result.degenerate.all()


def test_no_groups():
    assert group_advantages(torch.zeros(0), group_size=4).advantages.shape == (0,)
