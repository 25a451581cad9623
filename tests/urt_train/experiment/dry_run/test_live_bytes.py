"""Bytes that are alive at once, against arithmetic."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

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


@pytest.mark.filterwarnings("ignore:Expected a tensor or a traceable wrapper-subclass:UserWarning")
@pytest.mark.parametrize("is_fake", [False, True])
def test_torchs_own_tracker_counts_the_same_bytes(is_fake):
    """Kept after the forward pass, and the most of both passes, beside what was there before."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    def drop(parameter):
        parameter.grad = None

    def made():
        layers = [layer for _ in range(3) for layer in (nn.Linear(100, 404), nn.GELU(), nn.Linear(404, 100))]
        model = nn.Sequential(*layers)
        for parameter in model.parameters():
            parameter.register_post_accumulate_grad_hook(drop)
        return model, torch.randn(33, 100)

    with FakeTensorMode() if is_fake else nullcontext():
        model, inputs = made()
        with LiveBytes(ignoring=[*model.parameters(), inputs]) as live:
            outputs = model(inputs)
            kept = live.now
            outputs.backward(torch.ones_like(outputs))
        model, inputs = made()
        tracker = MemTracker()
        tracker.track_external(model, inputs)
        with tracker:
            outputs = model(inputs)
            held = tracker.get_tracker_snapshot("current")
            outputs.backward(torch.ones_like(outputs))
    before = own_bytes([*model.parameters(), inputs])
    (after_forward,), (peak,) = held.values(), tracker.get_tracker_snapshot("peak").values()
    assert (kept, live.peak) == (after_forward["Total"] - before, peak["Total"] - before)
