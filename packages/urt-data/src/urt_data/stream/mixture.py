"""Several folders of shards as one data set: how much of each, in which shares, and under which licences."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from urt_data.errors import MixtureError
from urt_data.licences import check_licences, provenance
from urt_data.shards import ShardFolder
from urt_data.stream.component import Component
from urt_data.stream.layout import Layout
from urt_data.stream.selection import select


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
    balance_tasks: bool = False
    """Give every task of this item the same share of what the item gives."""
    tasks: tuple[str, ...] | None = None
    """Leave out records of other tasks."""
    decided: bool = False
    """Leave out records whose label is a tie or missing; `Mixture.left_out` counts them."""

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
    all others of its item came once. `balance_tasks` gives every task the same share of an epoch.
    """

    def __init__(
        self,
        items: Sequence[MixtureItem],
        *,
        length: int | None = None,
        balance_tasks: bool = False,
        allow_noncommercial: bool = False,
        allow_evaluation: bool = False,
        seed: int = 0,
    ) -> None:
        if not items:
            raise MixtureError("a mixture needs at least one item")
        folders = [item.folder for item in items]
        check_licences(folders, allow_noncommercial=allow_noncommercial, allow_evaluation=allow_evaluation)
        self.left_out: Counter[str] = Counter()
        """Records that no verdict can be right about, by reason, where items ask for decided ones."""
        parts: list[_Part] = []
        for item in items:
            mine = list(_parts(item, seed, balance_tasks, self.left_out))
            if not mine:
                reasons = "".join(f", {reason}: {count:,}" for reason, count in self.left_out.most_common())
                raise MixtureError(
                    f"{item.folder.folder}: its part of the mixture is empty (take={item.take!r} of {len(item.folder):,} records"
                    f"{reasons}); take more, or leave it out"
                )
            parts += mine
        self.components: tuple[Component, ...] = tuple(part.component for part in parts)
        self.draws: tuple[int, ...] = _draws(parts, length=length, balance_tasks=balance_tasks)
        """Records of each component per epoch."""
        self.provenance: list[dict[str, Any]] = provenance(folders)
        """Sources, licences and counts of the folders, before anything is taken from them."""
        self.fingerprint: str = _fingerprint(items, self.draws, seed)
        """Names the mixture: equal fingerprints read equal records in equal order, less those that a repair left out."""

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

    scarcest: int = 0
    """Records of the item's task that has the fewest."""

    @property
    def capacity(self) -> float:
        available = self.scarcest if self.item.balance_tasks else len(self.component)
        return available * self.item.repeat

    @property
    def share(self) -> float:
        """Its share of the epoch, up to a factor that all parts have in common."""
        return self.capacity if self.item.weight is None else self.item.weight * self.share_of_item


def _parts(item: MixtureItem, seed: int, split_tasks: bool, left_out: Counter[str]) -> Iterator[_Part]:
    present = sorted(Layout(item.folder).tasks)
    wanted = [task for task in present if item.tasks is None or task in item.tasks]
    if present and not wanted:
        raise MixtureError(
            f"{item.folder.folder} holds no record of {', '.join(item.tasks or ())}; it holds: {', '.join(present)}"
        )
    is_split = split_tasks or item.balance_tasks or wanted != present
    components = []
    for task in wanted if is_split else [None]:
        available = Component(item.folder, task=task)
        usable, others = available.with_a_winner() if item.decided else (None, Counter())
        left_out.update(others)
        number = len(available) if usable is None else len(usable)
        kept = select(number, item.take, words=(seed, item.folder.order_sha256, task or ""))
        if usable is not None:
            kept = usable if kept is None else usable[kept]
        components.append(Component(item.folder, task=task, kept=kept))
    filled = [component for component in components if len(component)]
    total, scarcest = sum(map(len, filled)), min(map(len, filled), default=0)
    for component in filled:
        share = 1 / len(filled) if item.balance_tasks else len(component) / total
        yield _Part(component=component, item=item, share_of_item=share, scarcest=scarcest)


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


def _fingerprint(items: Sequence[MixtureItem], draws: tuple[int, ...], seed: int) -> str:
    described = [
        (item.folder.order_sha256, item.take, item.balance_tasks, item.tasks and sorted(item.tasks), item.decided)
        for item in items
    ]
    return hashlib.sha256(repr((described, draws, seed)).encode()).hexdigest()
