"""Bytes that are alive at once, against arithmetic."""

import torch

from urt_train.experiment.dry_run.live_bytes import LiveBytes, own_bytes


def test_a_chain_holds_two_links_at_a_time():
    with LiveBytes() as live:
        value = torch.zeros(1000)
        for _ in range(5):
            value = value + 1
    assert live.peak == 2 * 4000
    assert live.now == 4000


def test_views_and_changes_in_place_cost_nothing():
    with LiveBytes() as live:
        value = torch.zeros(10, 100)
        value[3:].add_(1)
        part = value.view(1000)[:5]
    assert live.peak == 4000
    assert own_bytes([value, part]) == 4000


def test_what_autograd_saves_is_alive_until_the_backward_pass():
    weight = torch.ones(1000, requires_grad=True)
    with LiveBytes(ignoring=[weight]) as live:
        loss = weight.exp().exp().sum()
        after_forward = live.now
        loss.backward()
        weight.grad = None
        del loss
    assert after_forward == 2 * 4000 + 4, "both results of exp, which its backward pass multiplies with, and the sum"
    assert live.now == 0
