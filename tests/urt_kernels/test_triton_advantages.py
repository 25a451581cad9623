"""The Triton kernel of group_advantages against the reference."""

import pytest
import torch

from urt_kernels import group_advantages

NAN = float("nan")


def rewards_of(num_components: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(num_components)
    rewards = torch.randint(0, 3, (90, num_components), generator=generator) * 0.25
    rewards[3] = NAN
    rewards[10:13] = 0.7
    rewards[15, 0] = NAN
    rewards[:3, -1] = NAN
    return rewards


@pytest.mark.parametrize("mode", ["grpo", "dr_grpo", "rloo", "batch"])
@pytest.mark.parametrize("combine", ["sum_then_normalize", "normalize_then_sum"])
@pytest.mark.parametrize("num_components", [1, 2])
def test_equals_the_reference(device, mode, combine, num_components):
    if mode == "batch" and num_components == 2:
        with pytest.raises(ValueError, match="batch"):
            group_advantages(torch.zeros(2, 2), group_size=2, weights=[1.0, 1.0], mode=mode, impl="triton")
        return
    rewards = rewards_of(num_components).to(device)
    offsets = torch.tensor([0, 3, 4, 10, 13, 13, 20, 90], device=device)
    outcomes = [
        group_advantages(
            rewards,
            group_offsets=offsets,
            mode=mode,
            combine=combine,
            weights=[1.0, 0.5][:num_components],
            impl=impl,
        )
        for impl in ("triton", "reference")
    ]
    for ours, theirs in zip(*outcomes, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=2e-6, equal_nan=True)


def test_close_rewards_far_from_zero_keep_their_digits(device):
    rewards = torch.tensor([[0.0] * 7 + [0.01]]) + 1000
    expected = group_advantages(rewards.double()).advantages.float()
    torch.testing.assert_close(group_advantages(rewards.to(device), impl="triton").advantages.cpu(), expected)


def test_equal_rewards_give_exactly_zero(device):
    result = group_advantages(torch.full((3, 7), 0.7, device=device), impl="triton")
    assert torch.equal(result.advantages, torch.zeros(3, 7, device=device))
    assert result.degenerate.all()
