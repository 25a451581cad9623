"""Save a small model in several divisions over processes, and load each in every other one.

python tests/urt_train/reshard_runs.py <empty folder>

One process imports everything once; each division is as many forks of it. What failed is asserted here.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from urt_train.runtime.checkpoints.checkpoint import check_hash, read_seal
from urt_train.runtime.checkpoints.saving import Save
from urt_train.runtime.checkpoints.training_state import load, open_reader, pieces
from urt_train.runtime.ranks import world

DIVISIONS = {"one": (), "ddp_2": (2,), "fsdp_2": (2,), "fsdp_3": (3,), "hsdp_2x2": (2, 2)}
"""Processes of each: alike on all, sharded over all, or sharded in pairs whose copies are alike."""


def main(root: Path) -> None:
    torch.set_num_threads(1)
    for saved in DIVISIONS:
        together(saved, lambda saved=saved: save(saved, root / saved))
        names = sorted(path.name for path in (root / saved).iterdir())
        num_ranks = max(1, torch.Size(DIVISIONS[saved]).numel())
        assert names == sorted(
            ["complete.json", "trainer.json"]
            + [f"rank_{rank:05d}.{kind}" for rank in range(num_ranks) for kind in ("json", "safetensors")]
        ), names
        size = sum(path.stat().st_size for path in (root / saved).glob("*.safetensors"))
        assert size < 1.5 * 3 * 4 * sum(p.numel() for p in trained("one")[0].parameters()) + 2048 * num_ranks, (
            "every value once, however many hold it"
        )
        for loaded in DIVISIONS:
            together(loaded, lambda saved=saved, loaded=loaded: check(loaded, root / saved))
    print("as it should be")


def save(division: str, folder: Path) -> None:
    model, optimizer = trained(division)
    tensors = {name: (tensor.clone(), piece) for name, (tensor, piece) in pieces(model, optimizer).items()}
    saving = Save(folder, step=3, keep=9, trainer={"step": 3}, tensors=tensors, plain={"random": {}})
    with torch.no_grad():  # what the run does meanwhile is not in it
        for parameter in model.parameters():
            parameter.zero_()
    saving.join()
    assert saving.failure is None, saving.failure
    if world()[1] > 1:
        distributed.barrier()
    assert folder.exists()


def check(division: str, folder: Path) -> None:
    seal = read_seal(folder)
    for name in seal.files:
        check_hash(folder, seal, name)
    model, optimizer = built(division)
    load(model, optimizer, open_reader(folder, seal))
    expected, its_optimizer = trained("one")
    for (name, parameter), (_, right) in zip(model.named_parameters(), expected.named_parameters(), strict=True):
        assert torch.equal(whole(parameter), right), name
        if right.requires_grad:
            state, right_state = optimizer.state[parameter], its_optimizer.state[right]
            assert state.keys() == right_state.keys()
            for key in state:
                assert torch.equal(whole(state[key]), right_state[key]), (name, key)
    step(model, optimizer)
    step(expected, its_optimizer)
    for parameter, right in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(whole(parameter), right, rtol=0, atol=1e-6), "and it goes on alike"


def whole(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def built(division: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 7), nn.Linear(7, 1), nn.LayerNorm(1))
    model[1].weight = model[1].weight.requires_grad_(False)
    kind, _, _ = division.partition("_")
    if kind in ("fsdp", "hsdp"):
        names = ("copies", "shards")[-len(DIVISIONS[division]) :]
        mesh = init_device_mesh("cpu", DIVISIONS[division], mesh_dim_names=names)
        for part in (*model, model):
            fully_shard(part, mesh=mesh)
    learns = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return model, torch.optim.AdamW(learns, lr=1e-2)


def trained(division: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    model, optimizer = built(division)
    for _ in range(3):
        step(model, optimizer)
    if world()[1] > 1:  # sums over ranks round otherwise; what is saved is to be exact
        right, its_optimizer = trained_alone()
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), right.parameters(), strict=True):
                place(parameter, value)
                for key, moment in its_optimizer.state.get(value, {}).items():
                    place(optimizer.state[parameter][key], moment)
    return model, optimizer


def trained_alone() -> tuple[nn.Module, torch.optim.Optimizer]:
    model, optimizer = built("one")
    for _ in range(3):
        step(model, optimizer)
    return model, optimizer


def place(tensor: torch.Tensor, value: torch.Tensor) -> None:
    if isinstance(tensor, DTensor):
        from torch.distributed.tensor import distribute_tensor

        value = distribute_tensor(value.detach().clone(), tensor.device_mesh, tensor.placements)
    tensor.copy_(value)


def step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(4, 5)).square().sum().backward()
    optimizer.step()


def together(division: str, work: Callable[[], object]) -> None:
    run_together(division, work, num_ranks=max(1, torch.Size(DIVISIONS[division]).numel()))


def run_together(name: str, work: Callable[[], object], *, num_ranks: int) -> None:
    """`work` in as many forks of this process, one process group around them. They meet in a file: a port that was free
    a moment ago may be another program's."""
    meeting = Path(tempfile.mkdtemp()) / "store"
    children = []
    for rank in range(num_ranks):
        if child := os.fork():
            children.append(child)
            continue
        code = 1
        try:
            if num_ranks > 1:
                distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=num_ranks)
            work()
            code = 0
        except BaseException as error:
            print(f"{name}, rank {rank}: {type(error).__name__}: {error}", flush=True)
            raise
        finally:
            os._exit(code)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert not any(codes), (name, codes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
