"""Heads in parts: a vocabulary-parallel group and FSDP2 shards over gloo, the fake group, a low-rank adapter."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from tests.urt_kernels.ranks import differences
from urt_kernels import linear_token_logprobs
from urt_kernels.sharded import (
    gathered_loss,
    gathered_token_logprobs,
    low_rank_token_logprobs,
    vocabulary_parallel_loss,
    vocabulary_parallel_token_logprobs,
)

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("ranks", [2, 4])
def test_parts_over_ranks_are_the_whole_head(ranks):
    """Values and gradients within fp32 rounding of the whole head in fp64; the same bits on every rank, and in one
    compiled graph."""
    for found in differences(FOLDER / "sharded_ranks.py", ranks):
        assert found.keys() == {"vocabulary", "gathered", "compiled"}
        assert found.pop("compiled") == 0
        assert max(found.values()) < 2e-5


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_one_pass_over_ranks_is_that_of_the_whole_head(ranks):
    """Seven objectives, in one chunk, in several and by a second pass, and one compiled graph: loss, log-probs, entropy,
    top-1, gradients and buffers in fp64."""
    for found in differences(FOLDER / "sharded_loss_ranks.py", ranks, "float64", "reference"):
        assert len(found) == 2 * 3 * 7 + 1
        assert max(found.values()) < 1e-12


@pytest.fixture
def fake_group():
    dist.init_process_group("fake", store=FakeStore(), rank=3, world_size=8)
    yield
    dist.destroy_process_group()


def test_eight_ranks_of_the_fake_group(fake_group):
    """Nobody answers: shapes, types and the order of calls."""
    hidden = torch.randn(5, 8).bfloat16().requires_grad_()
    weight = torch.randn(13, 8).bfloat16().requires_grad_()
    result = vocabulary_parallel_token_logprobs(
        hidden, weight, torch.arange(5), vocabulary=100, temperature=1.0, entropy=True
    )
    assert result.entropy is not None
    (result.logprobs.sum() + result.entropy.sum()).backward()
    assert hidden.grad is not None
    assert weight.grad is not None
    assert (hidden.grad.dtype, weight.grad.shape) == (torch.bfloat16, weight.shape)


def sharded(weight: torch.Tensor, ranks: int) -> Any:
    return distribute_tensor(weight, init_device_mesh("cpu", (ranks,)), [Shard(0)]).requires_grad_()


def test_the_one_pass_of_eight_ranks_of_the_fake_group(fake_group):
    hidden = torch.randn(2, 5, 8).bfloat16().requires_grad_()
    targets, mine = torch.arange(10).view(2, 5), torch.randn(13, 8).bfloat16().requires_grad_()
    arguments: Any = {"surrogate": "nll", "temperature": 1.0, "entropy_coef": 0.1}
    own = vocabulary_parallel_loss(hidden, mine, targets, vocabulary=100, **arguments)
    shards = sharded(torch.randn(100, 8).bfloat16(), 8)
    gathered = gathered_loss(hidden, shards, targets, block=32, **arguments)
    for result, weight in ((own, mine), (gathered, shards)):
        by_hidden, by_weight = torch.autograd.grad(result.loss, [hidden, weight])
        assert (by_hidden.dtype, by_weight.dtype, by_weight.shape) == (torch.bfloat16, torch.bfloat16, weight.shape)
        assert result.policy_logprobs.shape == result.top1.shape == (2, 5)


@pytest.mark.parametrize("form", ["loss", "log-probs"])
def test_the_gradient_takes_the_memory_of_the_shard(fake_group, form):
    """No tensor of the whole weight's size in fp32 (1 MiB) is made; a block and its gradient take an eighth of it."""
    weight = sharded(torch.randn(4096, 64), 8)
    hidden, targets = torch.randn(1, 16, 64).requires_grad_(), torch.arange(16)[None]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        if form == "loss":
            loss = gathered_loss(hidden, weight, targets, block=512, surrogate="nll", temperature=1.0).loss
        else:
            loss = gathered_token_logprobs(hidden, weight, targets, block=512, temperature=1.0).logprobs.sum()
        loss.backward()
    events = profile.events()
    assert events is not None
    assert 2**17 <= max(event.self_cpu_memory_usage for event in events) < 2**20 / 3


def test_a_split_that_does_not_cover_is_refused(fake_group):
    hidden, targets = torch.zeros(2, 8), torch.zeros(2, dtype=torch.long)
    for rows, vocabulary, message in (
        (12, 100, "weight has 12 rows: it must be 13, rank 3's part of vocabulary=100 over 8 ranks"),
        (1, 3, "leaves none for rank 3 of 8"),
    ):
        with pytest.raises(ValueError, match=message):
            vocabulary_parallel_token_logprobs(
                hidden, torch.zeros(rows, 8), targets, vocabulary=vocabulary, temperature=1.0
            )
        with pytest.raises(ValueError, match=message):
            vocabulary_parallel_loss(
                hidden[None],
                torch.zeros(rows, 8),
                targets[None],
                vocabulary=vocabulary,
                surrogate="nll",
                temperature=1.0,
            )
    with pytest.raises(ValueError, match="weight is a Tensor: it must be a DTensor"):
        gathered_token_logprobs(hidden, torch.zeros(5, 8), targets, temperature=1.0)
    weight = sharded(torch.zeros(16, 8), 8)
    for changes, message in (
        ({"bias": torch.zeros(16)}, "bias is a Tensor: it must be a DTensor"),
        ({"bias": sharded(torch.zeros(15), 8)}, r"bias has shape \[15\]: it must be \[16\]"),
        ({"weight_grad": torch.zeros(16, 8)}, r"weight_grad has shape \[16, 8\]: it must be \[2, 8\]"),
        ({"block": 0}, "block=0"),
    ):
        arguments: Any = {"surrogate": "nll", "temperature": 1.0, **changes}
        with pytest.raises(ValueError, match=message):
            gathered_loss(hidden[None], weight, targets[None], **arguments)


def test_a_low_rank_adapter_on_the_head():
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).requires_grad_()

    hidden, weight, down, up = normal(9, 16), normal(70, 16), normal(4, 16), normal(70, 4)
    targets = torch.arange(9) * 7
    ours = low_rank_token_logprobs(
        hidden, weight, targets, down, up, scaling=0.5, temperature=0.7, entropy=True, block=32
    )
    theirs = linear_token_logprobs(hidden, weight + 0.5 * up @ down, targets, temperature=0.7, entropy=True)
    leaves = [hidden, weight, down, up]
    assert ours.entropy is not None
    assert theirs.entropy is not None
    for mine, other in ((ours.logprobs, theirs.logprobs), (ours.entropy, theirs.entropy)):
        torch.testing.assert_close(mine, other)
        upstream = torch.linspace(-1, 1, 9, dtype=torch.float64)
        gradients = [torch.autograd.grad(each, leaves, upstream, retain_graph=True) for each in (mine, other)]
        for one, two in zip(*gradients, strict=True):
            torch.testing.assert_close(one, two)


def test_only_the_adapter_learns():
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(9, 16, generator=generator), torch.randn(70, 16, generator=generator)
    down, up = torch.randn(4, 16, generator=generator).requires_grad_(), torch.zeros(70, 4).requires_grad_()
    low_rank_token_logprobs(
        hidden, weight, torch.arange(9), down, up, scaling=0.5, temperature=1.0
    ).logprobs.sum().backward()
    assert up.grad is not None
    assert up.grad.abs().max() > 0
