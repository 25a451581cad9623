"""How components share an epoch: in proportion at every place, and exactly at the end."""

from hypothesis import given
from hypothesis import strategies as st

from urt_data.stream.order import split_evenly

DRAWS = st.lists(st.integers(0, 500), min_size=1, max_size=6).filter(any)


@given(DRAWS)
def test_counts_grow_and_end_at_the_draws(draws: list[int]) -> None:
    total = sum(draws)
    before = [0] * len(draws)
    for position in range(0, total + 1, max(1, total // 40)):
        counts = split_evenly(draws, position)
        assert sum(counts) == position
        assert all(one >= other for one, other in zip(counts, before, strict=True))
        before = counts
    assert split_evenly(draws, total) == draws


@given(DRAWS, st.floats(0, 1))
def test_every_stretch_is_in_proportion(draws: list[int], share: float) -> None:
    """Off by less than the number of components: each one's share is rounded once, of what the others leave."""
    position = int(share * sum(draws))
    for count, draw in zip(split_evenly(draws, position), draws, strict=True):
        assert abs(count - position * draw / sum(draws)) < len(draws)
