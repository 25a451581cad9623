"""Pieces of a rollout on their way to the ranks that compute them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from safetensors.torch import load, save
from torch import Tensor, distributed

from urt_train.model.batching import ExperienceBatch
from urt_train.rollouts.balance import Places
from urt_train.runtime.ranks import world

PROMPT = "prompt."
"""Before the names of a prompt's tensors."""


def exchange(
    pieces: Sequence[ExperienceBatch], places: Places, *, like: ExperienceBatch, device: torch.device
) -> list[list[ExperienceBatch]]:
    """What this rank computes in each micro-batch: of its own `pieces`, and those that others send. Every rank takes part.

    `like` has what all pieces of the step have in common, which does not travel. What stays is not touched.
    """
    rank, num_ranks = world()
    parcels: list[dict[str, Tensor]] = [{} for _ in range(num_ranks)]
    for ranks in places:
        for to, wanted in enumerate(ranks):
            for piece in wanted:
                if piece.owner == rank != to:
                    tensors = _tensors(pieces[piece.number])
                    parcels[to] |= {f"{rank}/{piece.number}/{name}": tensor for name, tensor in tensors.items()}
    arrived: dict[str, dict[str, Tensor]] = {}
    if num_ranks > 1:
        for name, tensor in _all_to_all(parcels, device=device).items():
            label, _, own_name = name.rpartition("/")
            arrived.setdefault(label, {})[own_name] = tensor
    return [
        [
            pieces[piece.number] if piece.owner == rank else _piece(arrived[f"{piece.owner}/{piece.number}"], like=like)
            for piece in ranks[rank]
        ]
        for ranks in places
    ]


def _tensors(piece: ExperienceBatch) -> dict[str, Tensor]:
    named = piece.by_completion() | {PROMPT + name: tensor for name, tensor in piece.prompts.items()}
    return {name: tensor.contiguous() for name, tensor in named.items()}


def _piece(tensors: dict[str, Tensor], *, like: ExperienceBatch) -> ExperienceBatch:
    prompts = {name.removeprefix(PROMPT): tensor for name, tensor in tensors.items() if name.startswith(PROMPT)}
    others = {name: tensor for name, tensor in tensors.items() if not name.startswith(PROMPT)}
    return replace(like, prompts=prompts, **others)


def _all_to_all(parcels: Sequence[dict[str, Tensor]], *, device: torch.device) -> dict[str, Tensor]:
    """The tensors that the other ranks have for this one; `parcels[rank]` are those for `rank`."""
    packed = [save(parcel) if parcel else b"" for parcel in parcels]
    sizes = torch.tensor([len(parcel) for parcel in packed], device=device)
    sizes_arriving = torch.empty_like(sizes)
    distributed.all_to_all_single(sizes_arriving, sizes)
    sent = torch.frombuffer(bytearray(b"".join(packed)) or bytearray(1), dtype=torch.uint8)[: int(sizes.sum())]
    arriving = torch.empty(int(sizes_arriving.sum()), dtype=torch.uint8, device=device)
    splits, splits_arriving = sizes.tolist(), sizes_arriving.tolist()
    distributed.all_to_all_single(arriving, sent.to(device), splits_arriving, splits)
    tensors: dict[str, Tensor] = {}
    for parcel in arriving.cpu().split(splits_arriving):
        if len(parcel):
            tensors |= load(parcel.numpy().tobytes())
    return tensors
