"""What a recording is, and what all of them draw from."""

import random
from dataclasses import dataclass, field
from typing import Any

NUM_ROWS = 20
THINGS = ("car", "fox", "kite", "lamp", "boat", "teapot")
COLOURS = ("red", "blue", "old", "small", "wooden")


@dataclass
class Recording:
    draw: random.Random
    files: dict[str, Any] = field(default_factory=dict)
    media: list[str] = field(default_factory=list)
    expected: set[tuple[Any, ...]] = field(default_factory=set)
    options: dict[str, Any] = field(default_factory=dict)

    def text(self, number: int) -> str:
        return f"a {self.draw.choice(COLOURS)} {self.draw.choice(THINGS)}, number {number}"

    def place(self, name: str) -> str:
        """A medium on disk."""
        self.media.append(name)
        return name

    def says(self, text: str, first: Any, second: Any, label: int) -> None:
        """`label`: 0 the first is better, 1 the second, 2 neither."""
        if label == 2:
            self.expected.add((text, None, *sorted((first, second))))
        else:
            self.expected.add((text, *((first, second) if label == 0 else (second, first))))

    def label(self, *, ties: bool = True) -> int:
        return self.draw.choice((0, 0, 1, 1, 2) if ties else (0, 1))


def inside(name: str) -> dict[str, Any]:
    """A picture as Parquet files of the hub hold it."""
    return {"bytes": f"@bytes:{name}", "path": None}


def sft_prompt(kind: str, text: str, number: int) -> str:
    return "<image>\n" * number + f"Two {kind}s were made from one caption; compare them.\nText Caption: [{text}]"
