"""Several folders of shards as one data set: how much of each, in which shares, and under which licences."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from urt_data.component import Component
from urt_data.errors import MixtureError
from urt_data.licences import check_licences, provenance
from urt_data.selection import select
from urt_data.shards import ShardFolder


@dataclass(frozen=True, kw_only=True, slots=True)
class MixtureItem:
    """One folder of a mixture.

    MixtureItem(folder=ShardFolder("data/hpdv3"), take="random:20%", repeat=1.0, weight=0.5)
    """

    folder: ShardFolder
    take: str = "all"
    """`all`, `first:N`, `end:N` or `random:N`; N is a number of records or a share such as `20%`, of each task when tasks are balanced."""
    repeat: float = 1.0
    """Passes over the taken records per epoch where the mixture has no weights; 0.5 takes turns over two epochs."""
    weight: float | None = None
    """Share of the epoch relative to the other items; all items have one, or none has."""

    def __post_init__(self) -> None:
        if not self.repeat > 0 or (self.weight is not None and not self.weight > 0):
            raise MixtureError(
                f"{self.folder.folder}: repeat is {self.repeat} and weight {self.weight}; both must be above 0 (leave the item out instead)"
            )


class Mixture:
    """Folders of shards, read as one data set.

        Mixture([MixtureItem(folder=ShardFolder("data/sprites"), repeat=2), MixtureItem(folder=ShardFolder("data/hpdv3"), take="first:5000")])

    Without weights an epoch holds every item `repeat` times. With weights it has `length` records in these shares (default: as many as the
    scarcest item fills in `repeat` passes); what an epoch leaves over comes in the next ones, so that no record comes a second time before
    all others of its item came once. `balance_tasks` gives every task the same share of an epoch. `label_smoothing` is the number of
    pseudo-votes of `labels.probability_first`, kept in `metadata["soft_label"]`; None adds nothing.
    """

    def __init__(
        self,
        items: Sequence[MixtureItem],
        *,
        length: int | None = None,
        balance_tasks: bool = False,
        label_smoothing: float | None = None,
        allow_noncommercial: bool = False,
        allow_evaluation: bool = False,
        seed: int = 0,
    ) -> None:
        if not items:
            raise MixtureError("a mixture needs at least one item")
        folders = [item.folder for item in items]
        check_licences(folders, allow_noncommercial=allow_noncommercial, allow_evaluation=allow_evaluation)
        parts: list[_Part] = []
        for item in items:
            mine = list(_parts(item, seed, balance_tasks, label_smoothing))
            if not mine:
                raise MixtureError(
                    f"{item.folder.folder}: its part of the mixture is empty (take={item.take!r} of {len(item.folder):,} records); "
                    "take more, or leave it out"
                )
            parts += mine
        self.components: tuple[Component, ...] = tuple(part.component for part in parts)
        self.draws: tuple[int, ...] = _draws(parts, length=length, balance_tasks=balance_tasks)
        """Records of each component per epoch."""
        self.provenance: list[dict[str, Any]] = provenance(folders)
        """Sources, licences and counts of the folders, before anything is taken from them."""
        self.fingerprint: str = _fingerprint(items, self.draws, label_smoothing, seed)
        """Names the mixture: equal fingerprints read equal records in equal order."""

    def __len__(self) -> int:
        """Records per epoch."""
        return sum(self.draws)


def as_mixture(source: ShardFolder | Mixture) -> Mixture:
    """A folder by itself is a mixture of one; reading it asks for no licence."""
    if isinstance(source, Mixture):
        return source
    return Mixture([MixtureItem(folder=source)], allow_noncommercial=True, allow_evaluation=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """An item, or one task of it."""

    component: Component
    item: MixtureItem
    share_of_item: float

    @property
    def capacity(self) -> float:
        return len(self.component) * self.item.repeat

    @property
    def share(self) -> float:
        """Its share of the epoch, up to a factor that all parts have in common."""
        return self.capacity if self.item.weight is None else self.item.weight * self.share_of_item


def _parts(item: MixtureItem, seed: int, split_tasks: bool, label_smoothing: float | None) -> Iterator[_Part]:
    tasks = sorted(item.folder.manifest["tasks"]) if split_tasks else [None]
    components = []
    for task in tasks:
        available = Component(item.folder, task=task)
        kept = select(len(available), item.take, words=(seed, item.folder.manifest_sha256, task or ""))
        components.append(Component(item.folder, task=task, kept=kept, label_smoothing=label_smoothing))
    total = sum(len(component) for component in components)
    for component in components:
        if len(component):
            yield _Part(component=component, item=item, share_of_item=len(component) / total)


def _draws(parts: Sequence[_Part], *, length: int | None, balance_tasks: bool) -> tuple[int, ...]:
    weighted = {part.item.weight is not None for part in parts}
    if len(weighted) == 2:
        raise MixtureError("some items of the mixture have a weight and some have none; give one to all or to none")
    if weighted == {False} and not balance_tasks:
        if length is not None:
            raise MixtureError(
                f"length={length} needs weights or balance_tasks=True; otherwise the length follows from take and repeat"
            )
        return tuple(max(1, round(part.capacity)) for part in parts)
    shares = np.array([part.share for part in parts])
    if balance_tasks:
        shares = _balanced(shares, [str(part.component.task) for part in parts])
    shares /= shares.sum()
    capacities = np.array([part.capacity for part in parts])
    total = length if length is not None else max(len(parts), int((capacities / shares).min() + 1e-9))
    if total < len(parts):
        raise MixtureError(
            f"length={length} is too short for {len(parts)} parts; each needs at least one record per epoch"
        )
    return _apportion(shares, total)


def _balanced(shares: np.ndarray, tasks: list[str]) -> np.ndarray:
    """Each task gets the same sum; inside a task the shares keep their proportions."""
    totals = {task: sum(share for share, other in zip(shares, tasks, strict=True) if other == task) for task in tasks}
    return np.array([share / totals[task] for share, task in zip(shares, tasks, strict=True)])


def _apportion(shares: np.ndarray, total: int) -> tuple[int, ...]:
    """Whole numbers that sum to `total`, at least one each, by largest remainder."""
    exact = shares * total
    counts = np.floor(exact + 1e-9).astype(int)
    counts[np.argsort(counts - exact, kind="stable")[: total - int(counts.sum())]] += 1
    while (counts == 0).any():
        counts[counts.argmin()] += 1
        counts[counts.argmax()] -= 1
    return tuple(int(count) for count in counts)


def _fingerprint(items: Sequence[MixtureItem], draws: tuple[int, ...], label_smoothing: float | None, seed: int) -> str:
    described = [(item.folder.manifest_sha256, item.take) for item in items]
    return hashlib.sha256(repr((described, draws, label_smoothing, seed)).encode()).hexdigest()
