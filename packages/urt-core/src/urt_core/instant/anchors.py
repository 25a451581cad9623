"""Candidates of known strength that travel with a judge: what a single candidate is held against.

model/judge.json                          "anchors": {"image_generation": [{"files": ["anchor-image-generation-0.png"], "strength": 1.3}, ...]}
model/anchor-image-generation-0.png       as PNG or JPEG, listed in SHA256SUMS like all files of the folder
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from urt_core.errors import CheckpointError, ConfigError, MediaError, RecordError
from urt_core.records import Candidate, Media, Task

if TYPE_CHECKING:
    from urt_core.media import MediaPolicy

FEWEST, MOST = 3, 32
"""Anchors of a task: an interval needs three of them, and each costs two passes a score."""
MAX_FRAMES = 64
MAX_ANSWER = 10_000
"""Characters of an answer."""
MAX_STRENGTH = 50.0
MIN_SPREAD = 0.2
"""Log-odds between the weakest and the strongest anchor below which they are of one quality."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Anchor:
    """Anchor(candidate=Media(kind=MediaKind.IMAGE, files=("anchor-image-generation-0.png",)), strength=1.3)"""

    candidate: Candidate
    """Media in generation, an answer's text in understanding."""
    strength: float
    """In log-odds: a candidate of strength s, under its own prompt, beats it with the probability sigmoid(s - strength)."""

    def __post_init__(self) -> None:
        value = self.strength
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= MAX_STRENGTH:
            raise ConfigError(
                f"an anchor has the strength {value!r:.80}; it must be a number from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}"
            )

    def check(self, task: Task) -> None:
        """A ConfigError where it is no candidate of `task`."""
        found = self.candidate
        if task.is_generation:
            if not isinstance(found, Media) or found.kind is not task.media_kind:
                raise ConfigError(f"an anchor of {task} is no {task.media_kind}; pick the anchors again")
            if len(found.files) > MAX_FRAMES:
                raise ConfigError(
                    f"an anchor of {task} has {len(found.files):,} frames, allowed are {MAX_FRAMES}; pick the anchors again"
                )
        elif not isinstance(found, str) or not 0 < len(found) <= MAX_ANSWER or not _is_utf8(found):
            raise ConfigError(
                f"an anchor of {task} is no text of 1 to {MAX_ANSWER:,} characters in UTF-8; pick the anchors again"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorSet:
    """The anchors of a judge by task: AnchorSet(tasks={"image_understanding": (Anchor(...), Anchor(...), Anchor(...))})"""

    tasks: Mapping[str, tuple[Anchor, ...]]

    def __post_init__(self) -> None:
        if not isinstance(self.tasks, Mapping) or not self.tasks:
            raise ConfigError("a set of anchors needs those of one task or more; pick them again")
        for task, anchors in self.tasks.items():
            if task not in list(Task):
                raise ConfigError(f"anchors name the task {task!r:.80}; allowed: {', '.join(Task)}")
            if not FEWEST <= len(anchors) <= MOST:
                raise ConfigError(
                    f"there are {len(anchors):,} anchors of {task}; allowed: {FEWEST} to {MOST}, pick them again"
                )
            for anchor in anchors:
                anchor.check(Task(task))

    def of(self, task: Task | str) -> tuple[Anchor, ...]:
        """Those of a task, or the error that says why a score would mean nothing."""
        found = self.tasks.get(str(task))
        if found is None:
            raise ConfigError(
                f"this judge has no anchors of {task}, only of {', '.join(sorted(self.tasks))}; score by a contract, or train a judge that"
                " has them: urt-train stage=internalise (docs/serving.md)"
            )
        spread = max(anchor.strength for anchor in found) - min(anchor.strength for anchor in found)
        if spread < MIN_SPREAD:
            raise ConfigError(
                f"the {len(found)} anchors of {task} are of one quality (their strengths differ by {spread:.2g}, needed are {MIN_SPREAD:g}),"
                " which is no scale; pick them again from candidates of different quality"
            )
        return found

    def read(self, folder: str | PathLike[str], policy: "MediaPolicy") -> Self:
        """The same with the bytes of their files, each of which has been decoded once under `policy`; a CheckpointError where one is
        missing, too large, or no picture."""
        return replace(
            self,
            tasks={
                task: tuple(
                    replace(anchor, candidate=_read(anchor.candidate, Path(folder), policy)) for anchor in anchors
                )
                for task, anchors in self.tasks.items()
            },
        )

    def to_json(self) -> dict[str, Any]:
        return {
            task: [
                {
                    **({"files": list(c.files)} if isinstance(c := anchor.candidate, Media) else {"text": c}),
                    "strength": anchor.strength,
                }
                for anchor in anchors
            ]
            for task, anchors in sorted(self.tasks.items())
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if not isinstance(value, Mapping) or not all(isinstance(found, list) for found in value.values()):
            raise ConfigError(f"anchors are {value!r:.80}; they must be an object of lists by task")
        return cls(tasks={str(task): tuple(_anchor(task, entry) for entry in found) for task, found in value.items()})


def anchors_known_here(value: Any) -> tuple[Any, list[str]]:
    """What this urt reads of the anchors that a newer one wrote, and the names of the rest."""
    if not isinstance(value, Mapping):
        return value, []
    known, unknown = {}, []
    for task, found in value.items():
        if task not in list(Task):
            unknown.append(str(task))
            continue
        entries = [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []
        further = {name for entry in entries for name in entry.keys() - {"files", "text", "strength"}}
        unknown += [f"{task}.{name}" for name in sorted(further)]
        known[task] = found
        if further:
            known[task] = [
                {name: entry[name] for name in entry.keys() - further} if isinstance(entry, Mapping) else entry
                for entry in found
            ]
    return known or (None if unknown else value), unknown


def file_names(task: Task, number: int, num_files: int) -> tuple[str, ...]:
    """("anchor-image-generation-0.png",), or the frames ("anchor-video-generation-0.f00.png", ...)"""
    stem = f"anchor-{str(task).replace('_', '-')}-{number}"
    if not task.is_video:
        return (f"{stem}.png",)
    return tuple(f"{stem}.f{frame:02d}.png" for frame in range(num_files))


def spread_out(strengths: Sequence[float], number: int) -> list[int]:
    """Places of `number` strengths, the weakest and the strongest among them, whose values lie as evenly as those that there are allow.

    >>> spread_out([0.0, 3.0, 0.1, 1.0, 2.0], 3)
    [0, 3, 1]
    """
    order = sorted(range(len(strengths)), key=lambda place: strengths[place])
    low, high = strengths[order[0]], strengths[order[-1]]
    chosen: list[int] = []
    for step in range(number):
        wanted = low + (high - low) * step / (number - 1)
        free = [place for place in order if place not in chosen]
        chosen.append(min(free, key=lambda place: abs(strengths[place] - wanted)))
    return sorted(chosen, key=lambda place: strengths[place])


def _anchor(task: object, entry: Any) -> Anchor:
    if not isinstance(entry, Mapping) or set(entry) not in ({"files", "strength"}, {"text", "strength"}):
        raise ConfigError(
            f"an anchor is {entry!r:.80}; it must be an object with strength and files, or strength and text"
        )
    if "text" in entry:
        return Anchor(candidate=entry["text"], strength=entry["strength"])
    try:
        return Anchor(
            candidate=Media(kind=Task(task).media_kind, files=tuple(entry["files"])), strength=entry["strength"]
        )
    except (RecordError, TypeError) as error:
        raise ConfigError(f"an anchor of {task!r:.80} has no files of its kind ({str(error)[:200]})") from None


def _read(candidate: Candidate, folder: Path, policy: "MediaPolicy") -> Candidate:
    if not isinstance(candidate, Media):
        return candidate
    from urt_core.engines.model.folder import read_picture
    from urt_core.media import load_frames

    media = replace(candidate, data=tuple(read_picture(folder, name) for name in candidate.files))
    try:
        load_frames(media, policy)
    except MediaError as error:
        raise CheckpointError(
            f"{folder}: an anchor can't be shown ({str(error)[:300]}); copy the judge again"
        ) from error
    return media


def _is_utf8(text: str) -> bool:
    """Whether it has no lone surrogate, which JSON holds and no judge can be shown."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def log_odds_of(win_rate: float, strengths: Sequence[float]) -> float:
    """The strength s at which the mean of sigmoid(s - strength) over `strengths` is `win_rate`: the maximum-likelihood fit of one strength to
    probabilities of beating known ones (Rasch 1960; their sum is all that it depends on). At 0 and 1 it has no end; here it ends at twice
    MAX_STRENGTH."""
    low, high = -2 * MAX_STRENGTH, 2 * MAX_STRENGTH
    for _ in range(60):
        middle = (low + high) / 2
        expected = math.fsum(sigmoid(middle - strength) for strength in strengths) / len(strengths)
        low, high = (middle, high) if expected < win_rate else (low, middle)
    return (low + high) / 2


def sigmoid(value: float) -> float:
    return 0.5 + 0.5 * math.tanh(value / 2)
