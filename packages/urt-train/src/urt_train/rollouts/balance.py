"""Which rank computes which piece of an optimizer step, and in which micro-batch.

Ranks that shard their weights meet at every layer, so a step takes the sum over its micro-batches of the slowest rank's
time. Two things keep it short: pieces are packed into micro-batches of even cost (longest first, each into the lightest
micro-batch that has room: Graham 1969), and micro-batches of like cost are computed beside each other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from urt_train.model.pass_cost import Work


class Piece(NamedTuple):
    """What is computed together in any case, such as a prompt with its completions: Piece(owner=3, number=0,
    work=Work(tokens=1651, cost=2.1e13))"""

    owner: int
    """The rank that holds it."""
    number: int
    """Which of its own."""
    work: Work


Places = list[list[list[Piece]]]
"""[micro-batch][rank] -> its pieces."""


def balanced(pieces: Sequence[Piece], *, num_ranks: int, num_batches: int, max_tokens: int) -> Places:
    """As few micro-batches as hold the pieces, `num_batches` at most and one at least; equal on all ranks.

    A micro-batch holds `max_tokens`, or a single piece that is longer. Of `num_batches`, each rank's own pieces must fit
    one a micro-batch, so that there is always a packing.
    """
    longest_first = sorted(pieces, key=lambda piece: (-piece.work.cost, piece.number, piece.owner))
    total = sum(min(piece.work.tokens, max_tokens) for piece in pieces)
    fewest = max(1, -(-total // (max_tokens * num_ranks)))
    for number in range(min(fewest, num_batches), num_batches + 1):
        bins = _packed(longest_first, number * num_ranks, max_tokens)
        if bins is not None:
            bins.sort(key=lambda bin_: -_cost(bin_))
            beside = [bins[start : start + num_ranks] for start in range(0, len(bins), num_ranks)]
            return [_at_home(bins_) for bins_ in beside]
    raise AssertionError(f"{len(pieces)} pieces for {num_batches} micro-batches of {num_ranks} ranks")


def _packed(longest_first: Sequence[Piece], num_bins: int, max_tokens: int) -> list[list[Piece]] | None:
    """Each piece in the lightest bin that has room; None where one finds none."""
    bins: list[list[Piece]] = [[] for _ in range(num_bins)]
    lightest = [(0.0, 0, number) for number in range(num_bins)]
    for piece in longest_first:
        too_full = []
        while lightest:
            cost, tokens, number = heapq.heappop(lightest)
            if not bins[number] or tokens + piece.work.tokens <= max_tokens:
                break
            too_full.append((cost, tokens, number))
        else:
            return None
        bins[number].append(piece)
        heapq.heappush(lightest, (cost + piece.work.cost, tokens + piece.work.tokens, number))
        for bin_ in too_full:
            heapq.heappush(lightest, bin_)
    return bins


def _at_home(bins: Sequence[list[Piece]]) -> list[list[Piece]]:
    """Micro-batches that are computed beside each other, each on the rank that holds most of it, as far as that is
    free."""
    wishes = sorted(
        ((-_tokens_of(pieces, rank), number, rank) for number, pieces in enumerate(bins) for rank in range(len(bins))),
    )
    placed: dict[int, int] = {}
    for _, number, rank in wishes:
        if number not in placed.values() and rank not in placed:
            placed[rank] = number
    return [bins[placed[rank]] for rank in range(len(bins))]


def _tokens_of(pieces: Iterable[Piece], rank: int) -> int:
    return sum(piece.work.tokens for piece in pieces if piece.owner == rank)


def _cost(pieces: Iterable[Piece]) -> float:
    return sum(piece.work.cost for piece in pieces)
