"""Work is cut into the same blocks whoever takes them, and every block is taken once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from urt_core.errors import ConfigError
from urt_core.judging.share import Share


@given(st.integers(0, 60), st.integers(1, 7), st.integers(1, 5))
def test_every_item_is_judged_once_in_the_same_blocks(length: int, size: int, num: int) -> None:
    whole = list(Share().blocks(range(length), size))
    for items in (range(length), iter(range(length))):  # a sequence, and a stream that each process reads for itself
        stream = list(items)
        taken = [list(Share(rank=rank, num=num).blocks(iter(stream), size)) for rank in range(num)]
        assert sorted(block for blocks in taken for block in blocks) == whole
    by_index = [list(Share(rank=rank, num=num).blocks(range(length), size)) for rank in range(num)]
    assert by_index == taken


def test_it_is_what_the_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert Share.from_environment() == Share()
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert Share.from_environment() == Share(rank=2, num=3)


@pytest.mark.parametrize(("rank", "num"), [(1, 1), (-1, 2), (0, 0)])
def test_a_rank_outside_is_refused(rank: int, num: int) -> None:
    with pytest.raises(ConfigError, match=rf"share is {rank} of {num}"):
        Share(rank=rank, num=num)
