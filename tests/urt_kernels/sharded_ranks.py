"""One rank of test_sharded.py: compares a head in parts with the whole one and prints its worst differences."""

import os
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import config
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from urt_kernels import linear_token_logprobs
from urt_kernels.sharded import gathered_token_logprobs, vocabulary_parallel_token_logprobs

VOCABULARY, SIZE = 1003, 24


Run = Callable[[Callable[..., Any]], Callable[..., Any]]


def vocabulary_parallel(run: Run, hidden: Tensor, own: Tensor, targets: Tensor, upstream: Tensor) -> list[Tensor]:
    leaves: list[Any] = [each.clone().requires_grad_() for each in (hidden, own)]
    form = partial(vocabulary_parallel_token_logprobs, vocabulary=VOCABULARY, temperature=0.7, entropy=True)
    result = run(form)(*leaves, targets)
    total = result.logprobs @ upstream[0] + result.entropy @ upstream[1]
    return [result.logprobs.detach(), *torch.autograd.grad(total, leaves)]


def gathered(run: Run, hidden: Tensor, weight: Any, targets: Tensor, upstream: Tensor) -> list[Tensor]:
    leaf: Any = hidden.clone().requires_grad_()
    result = run(partial(gathered_token_logprobs, temperature=0.7, entropy=True, block=256))(leaf, weight, targets)
    total = result.logprobs @ upstream[0] + result.entropy @ upstream[1]
    gradients: Any = torch.autograd.grad(total, [leaf, weight])
    by_hidden, by_weight = gradients
    return [result.logprobs.detach(), by_hidden, by_weight.to_local()]


def main(rank: int, ranks: int, place: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=ranks)
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(13, SIZE, generator=generator), torch.randn(VOCABULARY, SIZE, generator=generator)
    targets = torch.randint(0, VOCABULARY, (13,), generator=generator)
    mask = torch.rand(13, generator=generator) > 0.2
    upstream = torch.randn(2, 13, generator=generator)
    whole_hidden: Any = hidden.double().requires_grad_()
    whole_weight: Any = weight.double().requires_grad_()
    expected: Any = linear_token_logprobs(whole_hidden, whole_weight, targets, temperature=0.7, entropy=True, mask=mask)
    (expected.logprobs @ upstream[0].double() + expected.entropy @ upstream[1].double()).backward()

    part = -(-VOCABULARY // ranks)
    own = slice(rank * part, min(VOCABULARY, (rank + 1) * part))
    mine: Any = weight[own].clone().requires_grad_()
    leaf: Any = hidden.clone().requires_grad_()
    result: Any = vocabulary_parallel_token_logprobs(
        leaf, mine, targets, vocabulary=VOCABULARY, temperature=0.7, entropy=True, mask=mask
    )
    (result.logprobs @ upstream[0] + result.entropy @ upstream[1]).backward()
    copies = [torch.empty_like(result.logprobs) for _ in range(ranks)]
    dist.all_gather(copies, result.logprobs.detach())
    assert all(torch.equal(copy, copies[0]) for copy in copies), "ranks disagree"
    errors = [
        result.logprobs - expected.logprobs,
        result.entropy - expected.entropy,
        result.lse - expected.lse,
        leaf.grad - whole_hidden.grad,
        mine.grad - whole_weight.grad[own],
    ]
    print("difference vocabulary", max(float(error.detach().abs().max()) for error in errors))

    # FSDP2: this rank has rows of its own, the last one none.
    rows = slice(rank * 5, 13 if rank + 2 == ranks else min(13, rank * 5 + 5)) if rank + 1 < ranks else slice(0, 0)
    counts = [torch.zeros(13) for _ in range(ranks)]
    live = torch.zeros(13)
    live[rows] = 1.0
    dist.all_gather(counts, live)
    times = sum(counts)
    sharded: Any = distribute_tensor(weight, init_device_mesh("cpu", (ranks,)), [Shard(0)]).requires_grad_()
    leaf = hidden[rows].clone().requires_grad_()
    result = gathered_token_logprobs(
        leaf, sharded, targets[rows], temperature=0.7, entropy=True, mask=mask[rows], block=256
    )
    (result.logprobs @ upstream[0, rows] + result.entropy @ upstream[1, rows]).backward()
    whole_weight.grad = None
    expected = linear_token_logprobs(
        whole_hidden.detach(), whole_weight, targets, temperature=0.7, entropy=True, mask=mask
    )
    (expected.logprobs @ (upstream[0] * times).double() + expected.entropy @ (upstream[1] * times).double()).backward()
    errors = [
        result.logprobs - expected.logprobs[rows],
        result.entropy - expected.entropy[rows],
        leaf.grad - whole_hidden.grad[rows],
        sharded.grad.full_tensor() - whole_weight.grad,
    ]
    print("difference gathered", max(float(error.detach().abs().max()) for error in errors if error.numel()))

    config.update("jaxtyping_disable", True)
    found = [
        [*vocabulary_parallel(run, hidden, weight[own], targets, upstream[:, :13]),
         *gathered(run, hidden[rows], sharded, targets[rows], upstream[:, rows])]
        for run in (lambda function: function, partial(torch.compile, backend="aot_eager", fullgraph=True))
    ]  # fmt: skip
    print(
        "difference compiled",
        max(float((one - two).abs().max()) for one, two in zip(*found, strict=True) if one.numel()),
    )
    dist.destroy_process_group()
    sys.stdout.flush()
    os._exit(0)  # a compiled graph keeps the group, and the interpreter does not wait for its threads


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
