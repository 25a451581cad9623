"""Spans of an epoch: every position is read once, on equal ranks, in equal numbers of batches."""

from hypothesis import given
from hypothesis import strategies as st

from urt_data.stream.plan import EpochPlan


@given(st.integers(0, 80), st.integers(0, 20), st.integers(1, 7), st.integers(1, 5))
def test_every_position_is_read_once_and_in_order(length: int, position: int, batch_size: int, world_size: int) -> None:
    stop = position + length
    plans = [
        EpochPlan(position=position, stop=stop, batch_size=batch_size, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    read = []
    for batch in range(plans[0].num_batches):
        spans = [plan.span(batch) for plan in plans]
        assert all(0 < last - first <= batch_size for first, last in spans)
        read += [number for first, last in spans for number in range(first, last)]
    assert read == list(range(position, position + len(read)))
    assert stop - position - len(read) < world_size, "only what can't be shared out is left"
