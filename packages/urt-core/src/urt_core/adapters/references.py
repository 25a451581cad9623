"""What a sample is compared with that has no others of its prompt beside it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from urt_core.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class ReferencePool:
    """References by prompt, and anchors for prompts that have none of their own.

    A sample's reward is then the mean probability that it is better than each of them (the Bradley-Terry view of a
    reward: how likely it beats a fixed opponent), so that it can be compared between calls, processes and steps.

        ReferencePool(by_text={"a red car": ("car_1.png", "car_2.png")}, anchors=("average.png",))
    """

    by_text: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    anchors: tuple[Any, ...] = ()

    def of(self, text: str) -> tuple[Any, ...]:
        return self.by_text.get(text) or self.anchors

    @classmethod
    def from_jsonl(cls, path: str | PathLike[str]) -> "ReferencePool":
        """Lines of `{"text": "a red car", "references": ["car_1.png"]}`, files named relative to the list; a line
        without `text` holds anchors. Files are read here, once."""
        folder, by_text, anchors = Path(path).parent, {}, ()
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                files = tuple((folder / name).read_bytes() for name in row["references"])
                text = row.get("text")
            except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
                raise ConfigError(
                    f'{path}, line {number}: {error}; a line is {{"text": "a red car", "references": ["car_1.png"]}}'
                ) from error
            if text is None:
                anchors += files
            else:
                by_text[text] = by_text.get(text, ()) + files
        return cls(by_text=by_text, anchors=anchors)
