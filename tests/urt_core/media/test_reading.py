"""Media that several questions share are read once."""

from urt_core.errors import MediaError
from urt_core.media.reading import Unreadable, read_once


def test_one_object_is_read_once_and_an_equal_one_again() -> None:
    seen: list[list[int]] = []

    def read(value: list[int]) -> int:
        seen.append(value)
        return sum(value)

    shared, equal = [1, 2], [1, 2]
    assert read_once([shared, [5], shared, equal], read) == [3, 5, 3, 3]
    assert seen == [[1, 2], [5], [1, 2]]


def test_what_cannot_be_read_is_tried_once_and_stands_in_every_place() -> None:
    tries = []

    def read(value: list[int]) -> int:
        tries.append(value)
        raise MediaError("cut off")

    broken = [0]
    first, second = read_once([broken, broken], read)
    assert first is second
    assert isinstance(first, Unreadable)
    assert str(first.error) == "cut off"
    assert len(tries) == 1
