"""Settings of the data: where each split lies, who reads it ahead, and how much damage a run puts up with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from urt_core.errors import ConfigError
from urt_train.config.checks import above, at_least, within
from urt_train.config.choices import ALL_TASKS

SPLITS = ("train", "pool", "unlabelled", "validation", "test", "cold_start", "accepted", "hard", "contrasts")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataPart:
    """One part of a split: DataPart(path="s3://bucket/hpdv3", take="random:20%", weight=0.5)"""

    path: str
    """Folder of shards, or an address such as s3://bucket/pairs, hf://datasets/owner/name/pairs, https://host/pairs."""
    weight: float | None = None
    """Share of the epoch beside the other parts; all have one, or none."""
    repeat: float = 1.0
    """Passes over the part per epoch where there are no weights."""
    take: str = "all"
    """all, first:N, end:N or random:N, where N is a number or a share such as 20%."""
    balance_tasks: bool = False
    """The same share for each task of the part."""

    @property
    def is_remote(self) -> bool:
        return is_address(self.path)


def is_address(path: str) -> bool:
    return "://" in path


@dataclass(kw_only=True, slots=True)
class CacheConfig:
    """Where shards that come from afar are kept; shared by all processes of a machine."""

    path: ClassVar[str] = "data.cache"
    folder: str = "outputs/cache/shards"
    """Folder on a disk of this machine."""
    gib: float = 20.0
    """It never holds more than this."""

    def __post_init__(self) -> None:
        above(self, 0, "gib")


@dataclass(kw_only=True, slots=True)
class QuarantineConfig:
    """How many unreadable pairs a run leaves out before it ends; each is written to quarantine.jsonl of the run."""

    path: ClassVar[str] = "data.quarantine"
    share: float = 0.01
    """Share of the pairs read that may be bad, of at least the first `grace`."""
    in_a_row: int = 20
    """So many bad pairs one after the other are a wrong folder, not bit rot."""
    grace: int = 1000
    """Before so many pairs are read, `share` of this number may be bad."""

    def __post_init__(self) -> None:
        within(self, 0, 1, "share")
        at_least(self, 0, "in_a_row")
        at_least(self, 1, "grace")


@dataclass(kw_only=True, slots=True)
class DataConfig:
    """Where the pairs come from. Each split is null (outputs/<recipe>/data/<split>), a folder of shards or an address, or a list of parts
    that are mixed: [{path: pairs/mine, weight: 2}, {path: "s3://bucket/hpdv3", weight: 1, take: "random:20%"}]
    """

    path: ClassVar[str] = "data"
    source: str = "sprites"
    """Name of the source that `urt-train prepare_data` makes pairs with; shards: nothing to prepare, the folders are there."""
    train: Any = None
    """Labelled pairs: the teacher's, and the judge's own too where there is no pool."""
    pool: Any = None
    """Labelled pairs that the judge judges in rejection sampling; null takes train, as the paper does, less the pairs that have a trace."""
    unlabelled: Any = None
    """Pairs that internalising judges, whose labels nobody reads; null takes pool, or train."""
    validation: Any = None
    """Held-out pairs to choose settings by."""
    test: Any = None
    """Held-out pairs to report."""
    cold_start: Any = None
    """Pairs with a teacher's trace; `urt-train distill` writes them."""
    accepted: Any = None
    """Pairs with a right judgement of the judge's own; rejection sampling writes them."""
    hard: Any = None
    """Pairs the judge got wrong; rejection sampling writes them."""
    contrasts: Any = None
    """Pairs with a right and a wrong judgement of the judge's own; rejection sampling writes them."""
    others: dict[str, str] = field(default_factory=dict)
    """Folders of further splits by name, such as benchmarks."""
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    """Pairs to make per split and task, for generated sources: {train: {image_generation: 1000}}."""
    options: dict[str, Any] = field(default_factory=dict)
    """Settings of the source itself."""
    workers: int = 1
    """Processes of each rank that read, decode and encode pairs ahead of training; 0 does it between two steps."""
    prefetch: int = 2
    """Batches that each of them is ahead."""
    cache: CacheConfig = field(default_factory=CacheConfig)
    quarantine: QuarantineConfig = field(default_factory=QuarantineConfig)
    allow_noncommercial: bool = False
    """Train on pairs whose licence forbids commercial use; what is meant for evaluation alone is never trained on."""

    def __post_init__(self) -> None:
        at_least(self, 0, "workers")
        at_least(self, 1, "prefetch")
        for split, counts in self.counts.items():
            for task, count in counts.items():
                if task not in ALL_TASKS:
                    raise ConfigError(f"data.counts.{split} names the task {task!r}; allowed: {', '.join(ALL_TASKS)}")
                if count < 0:
                    raise ConfigError(f"data.counts.{split}.{task} is {count}; allowed: 0 or more")
        for split in (*SPLITS, *self.others):
            self.parts(split)

    def given(self, split: str) -> Any:
        """What was said of a split, if anything was."""
        return getattr(self, split) if split in SPLITS else self.others.get(split)

    def parts(self, split: str) -> tuple[DataPart, ...]:
        """The parts that were named for a split; none where it was left null."""
        said = self.given(split)
        if said is None:
            return ()
        parts = [_part(each, name=self.setting(split)) for each in (said if isinstance(said, list) else [said])]
        weighted = {part.weight is not None for part in parts}
        if not parts or len(weighted) == 2 or (True in weighted and not sum(part.weight or 0 for part in parts) > 0):
            raise ConfigError(
                f"{self.setting(split)} has parts with the weights {[part.weight for part in parts]}; allowed: one or more parts, a weight"
                " above 0 for each of them or for none"
            )
        return tuple(parts)

    def folder(self, split: str) -> str | None:
        """The one place where a split was said to lie, if it was; a mixture has none."""
        parts = self.parts(split)
        if len(parts) > 1:
            raise ConfigError(
                f"{self.setting(split)} is a mixture of {len(parts)} parts, and what reads this split takes one folder or address: write"
                " the mixture as shards first, or name one"
            )
        return parts[0].path if parts else None

    def setting(self, split: str) -> str:
        """What says on the command line where a split lies: data.test, or data.others.genai_bench."""
        return f"data.{split}" if split in SPLITS else f"data.others.{split}"


def _part(said: Any, *, name: str) -> DataPart:
    allowed = [each.name for each in fields(DataPart)]
    if isinstance(said, str) and said:
        return DataPart(path=said)
    if not isinstance(said, Mapping) or not isinstance(said.get("path"), str) or not said["path"]:
        raise ConfigError(
            f"{name} has the part {said!r}; allowed: a folder, an address, or {{{', '.join(allowed)}}} with a path"
        )
    if unknown := sorted(map(str, set(said) - set(allowed))):
        raise ConfigError(f"{name} has a part with {', '.join(unknown)}; allowed: {', '.join(allowed)}")
    part = DataPart(**said)
    for field_name in ("weight", "repeat"):
        value = getattr(part, field_name)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and value > 0):
            raise ConfigError(f"{name} has the part {part.path} with {field_name} {value!r}; allowed: a number above 0")
    return part
