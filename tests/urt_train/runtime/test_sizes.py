"""The step at 8, 16 and 64 ranks, without them: a process group that pretends. Every rank calls the same collectives in the same order,
holds what the dry run counts, and together they write every value of a checkpoint once."""

from collections import Counter
from typing import Any, cast

import pytest
import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import debug
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.urt_train.layouts import group_batch
from urt_train.config import Batching
from urt_train.experiment.dry_run.passes import Arithmetic
from urt_train.experiment.dry_run.states import Strategy, states_of
from urt_train.model.policy import Policy
from urt_train.model.sharding import shard
from urt_train.runtime.checkpoints.training_state import learned, pieces

SIZES = (8, 16, 64)


class Collectives(TorchDispatchMode):
    """What is sent, in its order: [("_allgather_base_", 4096), ...], bytes of the largest tensor of the call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, int]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.namespace in ("c10d", "_c10d_functional"):
            tensors = [part for part in tree_leaves(args) if isinstance(part, torch.Tensor)]
            size = max((tensor.numel() * tensor.element_size() for tensor in tensors), default=0)
            name = function._schema.name.partition("::")[2]
            if name != "wait_tensor":
                self.calls.append((name, size))
        return function(*args, **(kwargs or {}))


class OnRank:
    """This process as one rank of so many, whose others answer nothing."""

    def __init__(self, rank: int, num_ranks: int) -> None:
        self.rank, self.num_ranks = rank, num_ranks

    def __enter__(self) -> None:
        debug._clear_sharding_prop_cache()  # which keeps the place of the rank that this process was before
        distributed.init_process_group("fake", store=FakeStore(), rank=self.rank, world_size=self.num_ranks)

    def __exit__(self, *error: object) -> None:
        distributed.destroy_process_group()


def opened(tiny_folder, spec, mesh: tuple[int, ...]) -> Policy:
    policy = Policy.from_pretrained(tiny_folder, spec=spec, batching=Batching.shared_prefix, is_deferred=True)
    policy.select_trainable(language=True, vision=False, projector=True)
    names = ("copies", "shards")[-len(mesh) :]
    shard(policy, init_device_mesh("cpu", mesh, mesh_dim_names=names), compute_dtype=None)
    policy.load(torch.device("cpu"))
    return policy.train()


def step(policy: Policy, optimizer: torch.optim.Optimizer, batch) -> None:
    """Forward, loss, backward, clipping, update: what is computed of made-up weights is not looked at."""
    logprobs = policy.token_logprobs(batch).logprobs
    logprobs.sum().backward()
    parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    norm.full_tensor()  # pyright: ignore[reportAttributeAccessIssue]  of sharded gradients
    optimizer.step()


@pytest.fixture(scope="module")
def batch(tiny_folder, spec, records):
    return group_batch(Policy.from_pretrained(tiny_folder, spec=spec), records[:2], group_size=2)


@pytest.mark.parametrize("num_ranks", SIZES)
def test_every_rank_does_the_same_and_holds_its_share(tiny_folder, spec, batch, num_ranks):
    whole = Policy.from_pretrained(tiny_folder, spec=spec)
    whole.select_trainable(language=True, vision=False, projector=True)
    counted = states_of(
        whole, Strategy.FSDP2, devices=num_ranks, arithmetic=Arithmetic(None, False), has_reference=False
    )
    seen: list[list[tuple[str, int]]] = []
    for rank in (0, 1, num_ranks - 1):
        with OnRank(rank, num_ranks):
            policy = opened(tiny_folder, spec, (num_ranks,))
            optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-3)
            with Collectives() as collectives:
                step(policy, optimizer, batch)
                for _, tensor in policy.whole_weights():  # packed for an engine's copy
                    assert tensor.shape.numel() > 0
            seen.append(collectives.calls)
            if rank == 0:
                local = sum(cast(Any, p).to_local().numel() * p.element_size() for p in policy.parameters())
                moments = sum(
                    moment.to_local().numel() * 4 if hasattr(moment, "to_local") else 4
                    for state in optimizer.state.values()
                    for moment in state.values()
                )
                assert local == pytest.approx(counted.weights, rel=0.1)
                assert moments == pytest.approx(counted.optimizer, rel=0.1)
    assert seen[0] == seen[1] == seen[2]
    kinds = Counter(name for name, _ in seen[0])
    assert kinds["_reduce_scatter_base_"] > 2, "a group of gradients for every block, and one for the rest"
    assert kinds["_allgather_base_"] >= kinds["_reduce_scatter_base_"]


@pytest.mark.parametrize(("mesh", "num_writers"), [((8,), 8), ((64,), 64), ((2, 8), 8)])
def test_together_they_write_every_value_once(tiny_folder, spec, mesh, num_writers):
    num_ranks = torch.Size(mesh).numel()
    written: Counter[str] = Counter()
    sizes: dict[str, int] = {}
    writers = 0
    for rank in range(num_ranks):
        with OnRank(rank, num_ranks):
            policy = opened(tiny_folder, spec, mesh)
            optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-3)
            for name, (tensor, piece) in pieces(policy, optimizer).items():
                assert tuple(tensor.shape) == piece.shape
                written[name] += tensor.numel()
                sizes[name] = torch.Size(piece.whole).numel()
            writers += bool(pieces(policy, optimizer))
            assert sizes.keys() <= learned(policy).keys()
    assert dict(written) == sizes
    assert writers == num_writers, "of copies, the first writes"


def test_copies_within_a_node_travel_less(tiny_folder, spec, batch):
    """Sharded in nodes of 8 and copied over 2 of them, weights are gathered among 8, and gradients summed over the copies."""
    with OnRank(3, 16):
        policy = opened(tiny_folder, spec, (2, 8))
        optimizer = torch.optim.AdamW([p for p in policy.parameters() if p.requires_grad], lr=1e-3)
        with Collectives() as collectives:
            step(policy, optimizer, batch)
    kinds = Counter(name for name, _ in collectives.calls)
    assert kinds["allreduce_"] >= kinds["_reduce_scatter_base_"] > 2
