"""Pieces of a step placed on ranks: each once, none above its room, all ranks about equally busy."""

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urt_train.model.pass_cost import Work
from urt_train.rollouts.balance import Piece, Places, balanced

TASK_MIX = json.loads((Path(__file__).parent / "task_mix_lengths.json").read_text(encoding="utf-8"))
"""Tokens of 64 groups (a prompt and its eight completions) as the paper's four tasks have them, in drawn order."""


def pieces(costs: Sequence[Sequence[float]], *, tokens=round) -> list[Piece]:
    return [
        Piece(owner, number, Work(tokens=tokens(cost), cost=cost))
        for owner, own in enumerate(costs)
        for number, cost in enumerate(own)
    ]


def drawn(tokens: list[int], *, num_ranks: int) -> list[list[list[Piece]]]:
    """Each rank computes its own, one after the other."""
    size = len(tokens) // num_ranks
    own = pieces([tokens[rank * size : (rank + 1) * size] for rank in range(num_ranks)])
    return [[[own[rank * size + number]] for rank in range(num_ranks)] for number in range(size)]


def time_over_even(places: Places) -> float:
    """Time of the step over that of ranks which are all equally busy at all times; 1 is perfect."""
    costs = [[sum(piece.work.cost for piece in pieces) for pieces in ranks] for ranks in places]
    return sum(map(max, costs)) * len(places[0]) / sum(map(sum, costs))


@pytest.mark.parametrize("max_tokens", [1, 7226, 8192, 16384, 65536])
def test_the_mix_of_four_tasks_takes_no_rank_longer_than_the_others(max_tokens):
    """Eight ranks with eight groups each: 1.10 of perfect balance is the most; 1.68 in drawn order."""
    tokens = TASK_MIX["tokens"]
    in_drawn_order = drawn(tokens, num_ranks=8)
    assert time_over_even(in_drawn_order) == pytest.approx(1.682, abs=1e-3)
    own = pieces([tokens[rank * 8 : rank * 8 + 8] for rank in range(8)])
    places = balanced(own, num_ranks=8, num_batches=8, max_tokens=max_tokens)
    assert time_over_even(places) <= 1.10
    assert sorted(piece for ranks in places for parts in ranks for piece in parts) == sorted(own)


@pytest.mark.parametrize("seed", range(20))
def test_other_draws_of_the_mix_are_balanced_too(seed):
    """Lengths drawn anew from the same mix, room for two long groups: 1.10 at most."""
    lengths = random.Random(seed).choices(TASK_MIX["tokens"], k=64)
    own = pieces([lengths[rank * 8 : rank * 8 + 8] for rank in range(8)])
    assert time_over_even(balanced(own, num_ranks=8, num_batches=8, max_tokens=16384)) <= 1.10


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 500), max_size=6), min_size=1, max_size=5),
    st.integers(1, 1200),
)
def test_every_piece_is_computed_once_within_its_room(costs, max_tokens):
    own = pieces([[float(cost) for cost in rank] for rank in costs])
    num_ranks, num_batches = len(costs), max(1, max(map(len, costs)))
    places = balanced(own, num_ranks=num_ranks, num_batches=num_batches, max_tokens=max_tokens)
    assert 1 <= len(places) <= num_batches
    assert all(len(ranks) == num_ranks for ranks in places)
    assert sorted(piece for ranks in places for parts in ranks for piece in parts) == sorted(own)
    for parts in (parts for ranks in places for parts in ranks if len(parts) > 1):
        assert sum(piece.work.tokens for piece in parts) <= max_tokens


def test_tokens_give_room_and_cost_gives_balance():
    """Two pieces of few tokens are costly (long prompts attend to themselves): they go to different ranks."""
    own = pieces([[8.0, 8.0, 1.0, 1.0]], tokens=lambda cost: 1)
    [[left, right]] = balanced(own, num_ranks=2, num_batches=4, max_tokens=100)
    assert sorted(piece.work.cost for piece in left) == sorted(piece.work.cost for piece in right) == [1.0, 8.0]


def test_what_can_stay_stays():
    """Equal pieces, two a rank: nobody sends anything."""
    own = pieces([[5.0, 5.0], [5.0, 5.0], [5.0, 5.0]])
    places = balanced(own, num_ranks=3, num_batches=2, max_tokens=5)
    moved = [piece for ranks in places for rank, parts in enumerate(ranks) for piece in parts if piece.owner != rank]
    assert not moved


def test_without_pieces_there_is_one_micro_batch():
    """The last of a step is computed in any case: gradients meet in it."""
    assert balanced([], num_ranks=2, num_batches=4, max_tokens=10) == [[[], []]]
