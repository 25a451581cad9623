"""`take`: how much of a data set a mixture uses, in the notation of the official mixture files.

all        first:5000        end:10%        random:2000        random:25%
"""

import re

import numpy as np

from urt_data.errors import MixtureError
from urt_data.stream.permutation import permutation

TAKE = re.compile(r"(first|end|random):(\d+(?:\.\d+)?)(%?)")


def select(available: int, take: str, *, words: tuple[str | int, ...]) -> np.ndarray | None:
    """The positions that `take` keeps of `available` records, ascending; None keeps all. `words` decide what `random`
    draws.

    >>> select(10, "end:20%", words=()).tolist()
    [8, 9]
    """
    if take == "all":
        return None
    match = TAKE.fullmatch(take)
    if match is None:
        raise MixtureError(
            f"take is {take!r}; allowed: all, first:N, end:N, random:N, where N is a number of records or a share such as 20%"
        )
    count = _count(match[2], is_share=bool(match[3]), available=available, take=take)
    if match[1] == "random":
        return np.sort(permutation(available, *words, "take")[:count])
    start = 0 if match[1] == "first" else available - count
    return np.arange(start, start + count)


def _count(number: str, *, is_share: bool, available: int, take: str) -> int:
    if is_share:
        if float(number) > 100:
            raise MixtureError(f"take is {take!r}; a share is at most 100%")
        return int(float(number) / 100 * available)
    if "." in number:
        raise MixtureError(f"take is {take!r}; a number of records is whole, a share ends in %")
    # A cap above the size keeps everything, as it does in the official mixture files.
    return min(int(number), available)
