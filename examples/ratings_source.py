"""A source: a table in which several people rated two pictures of one caption becomes labelled pairs.

urt-data convert data=ratings_source:RATINGS input=ratings output=data/ratings

{"caption": "a red car", "left": "a.png", "right": "b.png", "ratings_left": [4, 5], "ratings_right": [2, 3]}
"""

from collections.abc import Iterator
from statistics import mean

from urt_core import Preference, Task
from urt_data.sources import LabelOrigin, Source
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import Pair
from urt_data.sources.rows import FieldError, Row

MIN_DIFFERENCE = 0.5


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    """One pair per row; ratings that are close are a tie. A missing field or file costs this row alone."""
    left, right = rating(row, "ratings_left"), rating(row, "ratings_right")
    better = Preference.FIRST if left > right else Preference.SECOND
    yield Pair(
        task=Task.IMAGE_GENERATION,
        text=row.text("caption"),
        first=folder.image(row.require("left"), "left"),
        second=folder.image(row.require("right"), "right"),
        preference=better if abs(left - right) >= MIN_DIFFERENCE else Preference.TIE,
        scores={"rating": (left, right)},
    )


def rating(row: Row, name: str) -> float:
    """The mean of a list of numbers. A FieldError rejects the row, and the conversion goes on."""
    values = row.require(name)
    if not isinstance(values, list) or not values or not all(isinstance(value, int | float) for value in values):
        raise FieldError(name, f"is {values!r}; it must be a list of numbers")
    return mean(values)


RATINGS = Source(
    name="ratings",
    repository="of your own",
    revision="2026-11",
    licence="CC0-1.0",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("*.jsonl",),
    fields=("caption", "left", "right", "ratings_left", "ratings_right"),
    pairs=pairs,
)
