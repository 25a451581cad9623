"""One published comparison: two candidates and what people or models said about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from urt_core.records import Preference, Task
from urt_data.sources.folder import Content
from urt_data.sources.rows import FieldError


class LabelOrigin(StrEnum):
    """Who decided which candidate is better."""

    HUMAN = "human"
    MODEL = "model"
    DISTILLED = "distilled"
    """A human or model label with a model's rationale that agrees with it."""
    CONSTRUCTED = "constructed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Votes:
    """How many preferred each candidate; shares where only shares are published.

    Votes(first=7, second=2, tie=1)
    """

    first: float
    second: float
    tie: float = 0.0

    @property
    def preference(self) -> Preference:
        """The side with more votes; a tie where both have the same."""
        return compare(self.first, self.second)

    def swap(self) -> "Votes":
        return Votes(first=self.second, second=self.first, tie=self.tie)

    def to_json(self) -> dict[str, float]:
        return {"first": tidy(self.first), "second": tidy(self.second), "tie": tidy(self.tie)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """One comparison as it is published, before it gets its key, its order and its provenance.

    Pair(task=Task.IMAGE_GENERATION, text="a red car", first=folder.image("a.jpg", "path1"),
    second=folder.image("b.jpg", "path2"),
         preference=Preference.FIRST, votes=Votes(first=9, second=2), models=("flux", "kolors"))
    """

    task: Task
    text: str
    first: Content | str
    second: Content | str
    preference: Preference | None
    media: Content | None = None
    source: Content | None = None
    """What both candidates are edits of."""
    completion: str | None = None
    votes: Votes | None = None
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Published marks per dimension as (first, second); higher is better, but for `rank`, where 1 is the best."""
    models: tuple[str | None, str | None] = (None, None)
    """The generators of the candidates."""
    winner_first: bool = False
    """Of this pair alone, where the source as a whole is not."""
    split: str | None = None
    """Where the set has its own: train, validation or test."""
    label_origin: LabelOrigin | None = None
    """Where it differs from the source's."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """JSON facts about the pair as a whole."""

    def __post_init__(self) -> None:
        decided = self.preference in (Preference.FIRST, Preference.SECOND)
        if decided and self.first == self.second:
            raise FieldError("candidates", "are the same, so that neither can be better")

    def swap(self) -> "Pair":
        return replace(
            self,
            first=self.second,
            second=self.first,
            preference=self.preference.swap() if self.preference else None,
            votes=self.votes.swap() if self.votes else None,
            scores={name: (second, first) for name, (first, second) in self.scores.items()},
            models=(self.models[1], self.models[0]),
        )


def compare(first: float, second: float) -> Preference:
    """The larger value is preferred; equal values are a tie."""
    if first == second:
        return Preference.TIE
    return Preference.FIRST if first > second else Preference.SECOND


def split_of(file: str) -> str | None:
    """The split that the name of an annotation file tells."""
    words = PurePosixPath(file).stem.lower().replace("-", "_").split("_")
    names = {"train": "train", "test": "test", "val": "validation", "validation": "validation"}
    return next((names[word] for word in words if word in names), None)


def tidy(value: float) -> float:
    """Counts without a decimal point."""
    return int(value) if float(value).is_integer() else value
