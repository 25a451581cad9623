"""Heads in parts: a vocabulary-parallel group and FSDP2 shards over gloo, the fake group, a low-rank adapter."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from urt_kernels import linear_token_logprobs
from urt_kernels.sharded import (
    gathered_token_logprobs,
    low_rank_token_logprobs,
    vocabulary_parallel_token_logprobs,
)

RANK = Path(__file__).parent / "sharded_ranks.py"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.mark.parametrize("ranks", [2, 4])
def test_parts_over_ranks_are_the_whole_head(ranks):
    """Values and gradients within fp32 rounding of the whole head in fp64; the same bits on every rank."""
    port = str(free_port())
    processes = [
        subprocess.Popen(
            [sys.executable, str(RANK), str(rank), str(ranks), port],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(ranks)
    ]
    for process in processes:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err[-3000:]
        errors = dict(line.split()[1:] for line in out.splitlines() if line.startswith("difference "))
        assert float(errors["vocabulary"]) < 2e-5
        assert float(errors["gathered"]) < 2e-5


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
    with pytest.raises(ValueError, match="weight is a Tensor: it must be a DTensor"):
        gathered_token_logprobs(hidden, torch.zeros(5, 8), targets, temperature=1.0)


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
