"""group_advantages against the formulas in fp64."""

import pytest
import torch

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
