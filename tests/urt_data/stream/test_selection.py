"""`take`: counts and shares from the front, the end or at random, as in the official mixture files."""

import pytest

from urt_data.errors import MixtureError
from urt_data.stream.selection import select


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        ("first:3", [0, 1, 2]),
        ("end:20%", [8, 9]),
        ("first:25%", [0, 1]),  # of a share the whole part
        ("end:50", list(range(10))),  # more than there are keeps everything
        ("first:0", []),
    ],
)
def test_positions(take: str, expected: list[int]) -> None:
    found = select(10, take, words=())
    assert found is not None
    assert found.tolist() == expected


def test_random_is_ascending_repeatable_and_by_its_words() -> None:
    found = [select(1000, "random:10%", words=words) for words in ((0,), (0,), (1,))]
    one, again, other = (set(each.tolist()) for each in found if each is not None)
    assert one == again != other
    assert len(one) == 100
    assert found[0] is not None
    assert found[0].tolist() == sorted(one)


def test_all_is_none() -> None:
    assert select(10, "all", words=()) is None


@pytest.mark.parametrize("take", ["", "some", "first:-1", "first:101%", "first:2.5", "middle:3", "first: 3"])
def test_what_is_not_in_the_notation_is_refused(take: str) -> None:
    with pytest.raises(MixtureError, match="take is"):
        select(10, take, words=())
