"""Media that several questions are about are read once, and those that can't be read are tried once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from urt_core.errors import MediaError


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands for a medium that was read in vain: Unreadable(MediaError("candidate0 is cut off"))"""

    error: MediaError


def read_once(values: Sequence[Any], read: Callable[[Any], Any]) -> list[Any]:
    """`read(value)` of each value, once for a value that is there several times."""
    found: dict[int, Any] = {}
    for value in values:
        if id(value) not in found:
            try:
                found[id(value)] = read(value)
            except MediaError as error:
                found[id(value)] = Unreadable(error)
    return [found[id(value)] for value in values]
