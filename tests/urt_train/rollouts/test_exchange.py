"""Pieces on their way between ranks: each arrives as it was sent, what stays is not touched."""

from dataclasses import replace

import pytest
import torch

from urt_core import Dialect, render
from urt_train.model.batching import ExperienceBatch, pack_completions
from urt_train.model.pass_cost import Work
from urt_train.model.policy import Policy
from urt_train.rollouts import exchange as module
from urt_train.rollouts.balance import Piece
from urt_train.rollouts.exchange import exchange
from urt_train.rollouts.micro_batches import outside_the_loss


@pytest.fixture(scope="module")
def pieces(tiny_folder, spec, records) -> list[ExperienceBatch]:
    """Three groups of two completions, about one picture, about two, and about a video."""
    policy = Policy.from_pretrained(tiny_folder, spec=spec)
    generator = torch.Generator().manual_seed(0)
    made = []
    for number, row in enumerate((0, 3, 7)):
        ids, mask = pack_completions([[[20 + number] * 3, [30 + number]]])
        made.append(
            ExperienceBatch(
                prompts=policy.encode([render(records[row], Dialect.V1)]),
                completion_ids=ids,
                completion_mask=mask,
                advantages=torch.randn(1, 2, generator=generator),
                rollout_logprobs=torch.randn(ids.shape, generator=generator),
                num_tokens=99.0,
            )
        )
    return made


def same(found: ExperienceBatch, sent: ExperienceBatch) -> bool:
    tensors = [*sent.by_completion().items()]
    prompts = [torch.equal(found.prompts[name], tensor) for name, tensor in sent.prompts.items()]
    return all(prompts) and all(torch.equal(found.by_completion()[name], tensor) for name, tensor in tensors)


def test_two_ranks_get_what_they_are_to_compute(pieces, monkeypatch):
    """Rank 0 holds two pieces, rank 1 one. The parcels of both are caught and delivered by hand."""
    work = Work(tokens=1, cost=1.0)
    a, b, c = Piece(0, 0, work), Piece(0, 1, work), Piece(1, 0, work)
    places = [[[c], [a]], [[b], []]]
    own = {0: pieces[:2], 1: pieces[2:]}
    parcels: dict[int, list[dict[str, torch.Tensor]]] = {}

    def catch(sent, *, device):
        parcels[rank] = list(sent)
        return {}

    def deliver(sent, *, device):
        return {name: tensor for other in (0, 1) if other != rank for name, tensor in parcels[other][rank].items()}

    taken = {}
    for post in (catch, deliver):
        monkeypatch.setattr(module, "_all_to_all", post)
        for rank in (0, 1):
            monkeypatch.setattr(module, "world", lambda rank=rank: (rank, 2))
            if post is catch:
                with pytest.raises(KeyError, match=r"[01]/0"):
                    exchange(own[rank], places, like=outside_the_loss(own[rank][0]), device=torch.device("cpu"))
                continue
            like = replace(outside_the_loss(own[rank][0]), num_tokens=99.0)
            taken[rank] = exchange(own[rank], places, like=like, device=torch.device("cpu"))
    assert [[len(parts) for parts in taken[rank]] for rank in (0, 1)] == [[1, 1], [1, 0]]
    assert same(taken[0][0][0], pieces[2])
    assert taken[0][1][0] is pieces[1], "what stays is not touched"
    assert same(taken[1][0][0], pieces[0])
    assert taken[1][0][0].num_tokens == 99.0


def test_alone_nothing_travels(pieces):
    work = Work(tokens=1, cost=1.0)
    places = [[[Piece(0, 1, work), Piece(0, 0, work)]], [[Piece(0, 2, work)]]]
    taken = exchange(pieces, places, like=outside_the_loss(pieces[0]), device=torch.device("cpu"))
    assert [[id(piece) for piece in parts] for parts in taken] == [[id(pieces[1]), id(pieces[0])], [id(pieces[2])]]
