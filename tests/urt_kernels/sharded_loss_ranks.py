"""One rank of test_sharded.py: the one pass of a head in parts beside the whole head in fp64, for every objective."""

import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import config
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from urt_kernels import SurrogateInputs, linear_loss
from urt_kernels.dispatch import interpreting
from urt_kernels.sharded import gathered_loss, vocabulary_parallel_loss
from urt_kernels.surrogates import dpo
from urt_kernels.tuning import ChunkedHead

VOCABULARY, SIZE, TOKENS = 203, 12, 6


def averaged(inputs: SurrogateInputs) -> Tensor:
    """A user's own, whose tokens depend on their sequence and on their entropy."""
    means = inputs.sequence_sums(inputs.policy_logprobs) / inputs.sequence_lengths()
    return means[inputs.sequences].square() - 0.3 * inputs.needed("entropy")


OBJECTIVES: dict[str, dict[str, Any]] = {
    "nll": {"surrogate": "nll", "entropy_coef": 0.2},
    "clip": {"surrogate": "clip", "dual_clip": 1.5, "clip_high": 0.28, "kl_coef": 0.1, "aggregation": "grpo"},
    "sequence_ratio": {"surrogate": "clip", "ratio": "sequence", "aggregation": "dr_grpo"},
    "cispo": {"surrogate": "cispo", "clip_low": 0.1, "importance": True},
    "dpo": {"surrogate": partial(dpo, beta=0.3), "sequences_together": 2},
    "own": {"surrogate": averaged, "entropy": True, "sequences_together": 1},
    "capped": {"surrogate": "nll", "softcap": 5.0, "logit_scale": 0.5, "rows": True},
}


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch(sequences: int) -> dict[str, Tensor]:
    """Sequences of six tokens each, and all that an objective may read of them."""
    shape = (sequences, TOKENS)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) > 0.2
    return {
        "hidden": normal(*shape, SIZE, seed=2),
        "targets": torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(3)),
        "mask": mask,
        "rollout_logprobs": normal(*shape, seed=4) - 5.0,
        "reference_logprobs": normal(*shape, seed=5) - 5.0,
        "old_logprobs": normal(*shape, seed=6) - 5.0,
        "advantages": normal(sequences, seed=7),
        "temperature": torch.linspace(0.5, 1.5, sequences * TOKENS, dtype=torch.float64).view(shape),
        "allowed": torch.rand((*shape, VOCABULARY), generator=torch.Generator().manual_seed(8)) > 0.2,
    }


def arguments(objective: dict[str, Any], given: dict[str, Tensor], rows: slice, dtype: torch.dtype) -> dict[str, Any]:
    """Named arguments of the loss for some of the sequences, under the divisor of all."""
    own = {name: values[rows] for name, values in given.items()}
    settings = dict(objective)
    importance, by_row = settings.pop("importance", False), settings.pop("rows", False)
    aggregation = settings.get("aggregation", "dapo")
    divisor = {"num_sequences": len(given["mask"])} if aggregation == "grpo" else {"num_tokens": 17.0}
    named: dict[str, Any] = {
        name: own[name] for name in ("targets", "mask", "rollout_logprobs", "reference_logprobs", "advantages")
    }
    if importance:
        named["old_logprobs"] = own["old_logprobs"]
    named["temperature"] = own["temperature"] if by_row else 0.7
    if by_row:
        targets = torch.nn.functional.one_hot(own["targets"], VOCABULARY).bool()
        named["allowed"] = own["allowed"] | targets
    narrow = {
        name: value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value
        for name, value in {**settings, **divisor, **named}.items()
    }
    return {**narrow, "hidden": own["hidden"].to(dtype).clone().requires_grad_()}


def worst(pairs: list[tuple[Tensor, Tensor]]) -> float:
    """Of the differences, beside the largest right value where that is above 1."""
    found = [
        float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1.0)) for ours, theirs in pairs if ours.numel()
    ]
    return max(found, default=0.0)


def expected(objective: dict[str, Any], given: dict[str, Tensor], weight: Tensor, bias: Tensor) -> tuple[Any, ...]:
    named = arguments(objective, given, slice(None), torch.float64)
    hidden, leaf = named.pop("hidden"), weight.clone().requires_grad_()
    shift = bias.clone().requires_grad_()
    result = linear_loss(hidden, leaf, **named, bias=shift, impl="reference")
    return result, *torch.autograd.grad(result.loss * 2.0, [hidden, leaf, shift])


def by_vocabulary(objective: dict[str, Any], rank: int, ranks: int, dtype: torch.dtype, impl: Any) -> float:
    given, weight, bias = batch(4), normal(VOCABULARY, SIZE, seed=9), normal(VOCABULARY, seed=10)
    right, right_hidden, right_weight, right_bias = expected(objective, given, weight, bias)
    part = -(-VOCABULARY // ranks)
    own = slice(rank * part, min(VOCABULARY, (rank + 1) * part))
    named = arguments(objective, given, slice(None), dtype)
    hidden, mine = named.pop("hidden"), weight[own].to(dtype).clone().requires_grad_()
    shift = bias[own].to(dtype).clone().requires_grad_()
    run: Callable[..., Any] = partial(
        vocabulary_parallel_loss, hidden, mine, vocabulary=VOCABULARY, bias=shift, impl=impl, **named
    )
    result = run()
    gradients = torch.autograd.grad(result.loss * 2.0, [hidden, mine, shift])
    copies = [torch.empty_like(result.policy_logprobs) for _ in range(ranks)]
    dist.all_gather(copies, result.policy_logprobs)
    assert all(torch.equal(copy, copies[0]) for copy in copies), "ranks disagree"
    assert torch.equal(result.top1, right.top1)
    buffer = torch.ones(mine.shape, dtype=dtype)
    run(weight_grad=buffer, upstream=2.0)
    with torch.no_grad():
        assert torch.equal(run().policy_logprobs, result.policy_logprobs)
    pairs: list[Any] = [(result.loss, right.loss), (result.policy_logprobs, right.policy_logprobs)]
    if right.entropy is not None:
        pairs.append((result.entropy, right.entropy))
    pairs += [(gradients[2], right_bias[own])]
    pairs += [(gradients[0], right_hidden), (gradients[1], right_weight[own]), (buffer - 1.0, right_weight[own])]
    return worst(pairs)


def by_shards(objective: dict[str, Any], rank: int, ranks: int, dtype: torch.dtype, impl: Any) -> float:
    """Two sequences for the first rank, one pair more for each of the next, none for the last."""
    counts = [2 * (each + 1) for each in range(ranks - 1)] + [0]
    rows = slice(sum(counts[:rank]), sum(counts[: rank + 1]))
    given, weight, bias = batch(sum(counts)), normal(VOCABULARY, SIZE, seed=9), normal(VOCABULARY, seed=10)
    right, right_hidden, right_weight, right_bias = expected(objective, given, weight, bias)
    mesh = init_device_mesh("cpu", (ranks,))
    named = arguments(objective, given, rows, dtype)
    hidden = named.pop("hidden")
    sharded: Any = distribute_tensor(weight.to(dtype), mesh, [Shard(0)]).requires_grad_()
    shift: Any = distribute_tensor(bias.to(dtype), mesh, [Shard(0)]).requires_grad_()
    run: Callable[..., Any] = partial(gathered_loss, hidden, sharded, bias=shift, block=64, impl=impl, **named)
    result = run()
    gradients: Any = torch.autograd.grad(result.loss * 2.0, [hidden, sharded, shift])
    by_hidden, by_weight, by_bias = gradients
    assert torch.equal(result.top1, right.top1[rows])
    total = result.loss.detach().clone()
    dist.all_reduce(total)
    own = sharded.to_local().shape[0]
    buffer = torch.ones(own, SIZE, dtype=dtype)
    run(weight_grad=buffer, upstream=2.0)
    first = rank * -(-VOCABULARY // ranks)
    pairs = [(total, right.loss), (result.policy_logprobs, right.policy_logprobs[rows])]
    pairs += [(by_hidden, right_hidden[rows]), (by_weight.full_tensor(), right_weight)]
    pairs += [(by_bias.full_tensor(), right_bias)]
    return worst([*pairs, (buffer - 1.0, right_weight[first : first + own])])


def cut_rows(largest: int) -> None:
    """Chunks of so many rows in both implementations: fewer than a sequence has take a second pass."""
    reference: Any = import_module("urt_kernels.one_pass.reference")
    reference.WORKSPACE_BYTES, reference.TILE_ROWS = 0, largest
    if not interpreting():
        return
    linear: Any = import_module("urt_kernels.linear_logprobs.triton")
    one_pass: Any = import_module("urt_kernels.one_pass.triton")
    linear.HEIGHT_STEP = one_pass.HEIGHT_STEP = 4
    small = ChunkedHead(rows=largest, columns=32)
    linear.chunked_forward = linear.chunked_backward = lambda *_: small
    one_pass.one_pass = lambda *_, **__: small


def compiled(rank: int, ranks: int) -> float:
    """One graph for both forms, with the gradients of eager."""
    part = -(-VOCABULARY // ranks)
    weight = normal(VOCABULARY, SIZE, seed=9)
    mine = weight[rank * part : (rank + 1) * part].clone().requires_grad_()
    named = arguments(OBJECTIVES["clip"], batch(4), slice(None), torch.float64)
    hidden, targets = named.pop("hidden"), named.pop("targets")
    del named["mask"]  # the number of its rows is data

    def loss(hidden: Tensor, weight: Tensor) -> Tensor:
        return vocabulary_parallel_loss(hidden, weight, targets, vocabulary=VOCABULARY, **named).loss

    values = [run(hidden, mine) for run in (loss, torch.compile(loss, backend="aot_eager", fullgraph=True))]
    gradients = [torch.autograd.grad(value, [hidden, mine]) for value in values]
    return worst([(values[1], values[0]), *zip(*reversed(gradients), strict=True)])


def main(rank: int, ranks: int, place: str, kind: str, impl: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=ranks)
    few = impl == "triton"  # the interpreter takes a second for each
    for largest in (12, 4) if few else (12, 4, 128):
        cut_rows(largest)
        for name, objective in OBJECTIVES.items():
            if few and name not in ("nll", "own", "capped"):
                continue
            for form, compare in {"vocabulary": by_vocabulary, "shards": by_shards}.items():
                error = compare(objective, rank, ranks, getattr(torch, kind), impl)
                print("difference", f"{form}_{name}_{largest}", error)
    config.update("jaxtyping_disable", True)
    print("difference compiled", compiled(rank, ranks))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
