"""All that a run needs to go on exactly: what learns, the optimizer's moments, the position in the data, every random
state.

Weights that do not learn are those of the model that the run started from, which its identity proves. A process writes
the pieces that it holds, or its share of what all of them hold alike; it reads the pieces that it needs, whoever wrote
them, so that a checkpoint serves any number of processes and any way of sharding.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

from urt_core.errors import CheckpointError
from urt_train.runtime.checkpoints.checkpoint import GO_ON, Seal, part_names, read_json
from urt_train.runtime.checkpoints.tensor_file import Piece, PieceReader
from urt_train.runtime.ranks import world

RANDOM = "random."
"""Prefix of the tensors that are a random state of the process that wrote the file."""


def learned(module: nn.Module) -> dict[str, nn.Parameter]:
    """What learns, by name; a weight with two names once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def pieces(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple[Tensor, Piece]]:
    """What this process writes: live tensors on its device, each with the place that it has in the whole.

    {"policy.model.lm_head.weight": ..., "policy.model.lm_head.weight#exp_avg": ..., ...#exp_avg_sq, ...#step}
    """
    rank, num_ranks = world()
    mine: dict[str, tuple[Tensor, Piece]] = {}
    loads = [0] * num_ranks
    for name, tensor in _tensors(module, optimizer):
        if isinstance(tensor, DTensor):
            if _is_first_copy(tensor) and tensor.to_local().numel():
                mine[name] = (tensor.to_local(), local_piece(tensor))
            continue
        writer = min(range(num_ranks), key=loads.__getitem__)  # all hold it: the one with the least to write so far
        loads[writer] += tensor.numel() * tensor.element_size() or 1
        if writer == rank:
            mine[name] = (tensor.detach(), Piece.of_all(tensor.shape))
    return mine


def _tensors(module: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    for name, parameter in learned(module).items():
        yield name, parameter.detach()
        for key, value in sorted(optimizer.state.get(parameter, {}).items()):
            yield f"{name}#{key}", value if isinstance(value, Tensor) else torch.tensor(value)


def local_piece(tensor: DTensor) -> Piece:
    shape, offset = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
    return Piece(whole=tuple(tensor.shape), offset=tuple(offset), shape=tuple(shape))


def _is_first_copy(tensor: DTensor) -> bool:
    """Of the processes that hold the same piece, the first writes it."""
    place = tensor.device_mesh.get_coordinate()
    assert place is not None, "a process holds a tensor of a mesh that it is in"
    return all(
        number == 0
        for number, placement in zip(place, tensor.placements, strict=True)
        if isinstance(placement, Replicate)
    )


def load(module: nn.Module, optimizer: torch.optim.Optimizer, reader: PieceReader) -> None:
    """Put the saved weights and moments into this process's part of the model."""
    parameters = learned(module)
    known = {name.partition("#")[0] for name in reader.names}
    if known != set(parameters):
        other = sorted(known ^ set(parameters))
        raise CheckpointError(
            f"the checkpoint has other weights that learn than this run ({len(other)} names, such as {other[0]}); keep model.train_*"
            f" and model.lora as they were, or {GO_ON}"
        )
    keys: dict[str, list[str]] = {}
    for name in sorted(reader.names):
        parameter_name, _, key = name.partition("#")
        if key:
            keys.setdefault(parameter_name, []).append(key)
    with torch.no_grad():
        for name, parameter in parameters.items():
            _fill(parameter, name, reader)
            moments = {}
            for key in keys.get(name, ()):
                if key == "step":  # kept on the CPU, as torch does it
                    moments[key] = reader.read(f"{name}#{key}", Piece.of_all(()))
                else:
                    moments[key] = torch.zeros_like(parameter, memory_format=torch.preserve_format)
                    _fill(moments[key], f"{name}#{key}", reader)
            if moments:
                optimizer.state[parameter] = moments


def _fill(tensor: Tensor, name: str, reader: PieceReader) -> None:
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    if local.numel():
        local.copy_(
            reader.read(name, local_piece(tensor) if isinstance(tensor, DTensor) else Piece.of_all(tensor.shape))
        )


def open_reader(folder: Path, seal: Seal) -> PieceReader:
    files = {}
    for rank in range(seal.num_processes):
        layout, tensors = part_names(rank)
        try:
            content = read_json(folder / layout)["pieces"]
            files[folder / tensors] = {
                str(name): Piece.from_json(value) for name, value in content.items() if not name.startswith(RANDOM)
            }
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{folder / layout} is not as it is written ({error!r}); {GO_ON}") from error
    return PieceReader(files)


def random_state() -> tuple[dict[str, Any], dict[str, Tensor]]:
    """All generators of this process: plain values, and tensors."""
    numpy_state = np.random.get_state(legacy=True)
    assert isinstance(numpy_state, tuple), "asked for in its legacy form"
    name, keys, position, has_gauss, cached = numpy_state
    version, internal, gauss = random.getstate()
    plain = {
        "python": [version, list(internal), gauss],
        "numpy": [name, keys.tolist(), position, has_gauss, cached],
    }
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    tensors = {f"{RANDOM}cuda.{number}": state for number, state in enumerate(devices)}
    return plain, {f"{RANDOM}torch": torch.get_rng_state(), **tensors}


def set_random_state(plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    version, internal, gauss = plain["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = plain["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(tensors[f"{RANDOM}torch"])
    devices = sorted(name for name in tensors if name.startswith(f"{RANDOM}cuda."))
    if devices and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([tensors[name] for name in devices][: torch.cuda.device_count()])


def restore_random_state(folder: Path, seal: Seal) -> None:
    """That of this rank. A rank that there was none of keeps the state that it began with, which follows from the run's
    seed."""
    rank = world()[0]
    if rank >= seal.num_processes:
        return
    layout, tensors = part_names(rank)
    content = read_json(folder / layout)
    try:
        names = [name for name in content["pieces"] if name.startswith(RANDOM)]
        own = PieceReader({folder / tensors: {name: Piece.from_json(content["pieces"][name]) for name in names}})
        states = {name: own.read(name, Piece.from_json(content["pieces"][name])) for name in names}
        set_random_state(content["random"], states)
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError) as error:
        raise CheckpointError(f"{folder / layout} has no random state ({error!r}); {GO_ON}") from error
