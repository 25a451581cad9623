"""A rule applied to pairs: how many count, how many are right, and which could not be read."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from urt_core.bench.rules.groups import GROUPINGS
from urt_core.bench.rules.pairs import Outcome, PairVerdicts
from urt_core.bench.rules.rule import Rule
from urt_core.bench.rules.units import Unit, find_threshold, majority, unit, units_of, verdict_by_margin
from urt_core.metrics import share_interval


@dataclass(kw_only=True, slots=True)
class Count:
    """How often something was so, kept by cluster (item), because units of one item are not independent.

    count = Count(); count.add("item-3", right=1, n=2)
    """

    clusters: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Item -> (right, n)."""
    right: int = 0
    n: int = 0

    def add(self, item: str, *, right: int, n: int = 1) -> None:
        before, n_before = self.clusters.get(item, (0, 0))
        self.clusters[item] = (before + right, n_before + n)
        self.right += right
        self.n += n

    @property
    def share(self) -> float:
        return self.right / self.n if self.n else math.nan

    @property
    def variance(self) -> float:
        """Of the share, between clusters: sum over clusters of (right - share * n)^2 / N^2 (linearised ratio
        estimator)."""
        if not self.n:
            return math.nan
        share = self.share
        return math.fsum((right - share * n) ** 2 for right, n in self.clusters.values()) / self.n**2

    @property
    def num_units(self) -> int:
        """How many independent units there can be: all right or all wrong, the members of a cluster tell nothing
        apart."""
        return len(self.clusters) if self.right in (0, self.n) else self.n


@dataclass(kw_only=True, slots=True)
class Value:
    """One number of a table, in percent: Value(percent=45.59, low=43.3, high=47.9, n=1735)."""

    percent: float
    low: float
    high: float
    n: int
    """Its denominator."""

    @classmethod
    def of(cls, share: float, variance: float, *, n: int, num_units: int) -> "Value":
        low, high = share_interval(share, variance, num_units) if n else (0.0, 1.0)
        return cls(percent=100 * share, low=100 * low, high=100 * high, n=n)

    @classmethod
    def of_count(cls, count: Count) -> "Value":
        value = cls.of(count.share, count.variance, n=count.n, num_units=count.num_units)
        # 100 * right / n is the nearest number to the percentage; 100 * (right / n) is not always.
        value.percent = 100 * count.right / count.n if count.n else math.nan
        return value


@dataclass(kw_only=True, slots=True)
class Counted:
    """What a rule makes of a set of pairs or lists."""

    values: dict[str, Value]
    n_total: int
    n_failed: int
    by_item: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Item -> (right, n) of the headline, for paired tests."""
    threshold: float | None = None


def count_pairs(pairs: Sequence[PairVerdicts], rule: Rule) -> Counted:
    asked = [pair for pair in pairs if rule.labels == "all" or pair.label.is_decisive]
    num_pairs = Counter(pair.item for pair in asked)
    whole, items = Count(), Count()
    by_group: dict[str, Count] = defaultdict(Count)
    all_right: dict[str, bool] = {}
    group_of: dict[str, str] = {}
    n_total = n_failed = 0
    threshold = find_threshold(asked, rule) if rule.threshold is not None else None
    for pair in asked:
        if threshold is None:
            units: Iterable[Unit] = units_of(pair, rule)
        else:
            units = [unit(verdict_by_margin(pair.margin, threshold.value), pair.label, rule)]
        group = GROUPINGS[rule.groups](pair.item, pair.group, num_pairs[pair.item]) if rule.groups else ""
        for found in units:
            n_total += 1
            n_failed += found is Unit.UNREADABLE
            if found is Unit.LEFT_OUT or (found is Unit.UNREADABLE and rule.unreadable == "left_out"):
                continue
            whole.add(pair.item, right=found is Unit.RIGHT)
            all_right[pair.item] = all_right.get(pair.item, True) and found is Unit.RIGHT
            group_of[pair.item] = group
            if group and rule.item_right == "any":
                by_group[group].add(pair.item, right=found is Unit.RIGHT)
    for item, is_right in all_right.items():
        items.add(item, right=is_right)
        if group_of[item] and rule.item_right == "all":
            by_group[group_of[item]].add(item, right=is_right)
    headline = whole if rule.item_right == "any" else items
    values = {rule.headline: Value.of_count(headline)}
    if threshold is not None and threshold.accuracy is not None:
        share, n = threshold.accuracy, len(asked)
        values[rule.headline] = Value.of(share, share * (1 - share) / max(1, n), n=n, num_units=n)
    if rule.macro and by_group:
        values[rule.macro] = macro(by_group.values())
    values |= {group: Value.of_count(by_group[group]) for group in sorted(by_group)}
    if rule.all_of_item:
        values[rule.all_of_item] = Value.of_count(items)
    return Counted(
        values=values,
        n_total=n_total,
        n_failed=n_failed,
        by_item=headline.clusters,
        threshold=threshold.value if threshold else None,
    )


def macro(groups: Iterable[Count]) -> Value:
    """The mean over groups, each counting the same; its variance is that of independent groups."""
    counts = list(groups)
    share = sum(count.share for count in counts) / len(counts)
    variance = sum(count.variance for count in counts) / len(counts) ** 2
    n = sum(count.n for count in counts)
    return Value.of(share, variance, n=n, num_units=sum(count.num_units for count in counts))


def count_positions(pairs: Sequence[PairVerdicts]) -> dict[str, Value]:
    """How a judge behaves, whatever the rule: what could not be read, first picks, agreement of the two orders.

    `mean_of_orders` is over pairs with a better candidate and counts ties and unreadable as wrong: a judge that always
    names the first has exactly 50 there. `position_consistency` is the share of all pairs on which both orders decide
    for the same candidate, `consistent_of_decided` of those that both orders decide; ties have names of their own.
    """
    counts: dict[str, Count] = defaultdict(Count)
    for pair in pairs:
        for verdicts, first in ((pair.given, Outcome.FIRST), (pair.swapped, Outcome.SECOND)):
            for verdict in verdicts:
                counts["unreadable"].add(pair.item, right=verdict is None)
                if verdict is not None and verdict.is_decisive:
                    counts["first_picked"].add(pair.item, right=verdict is first)
        if not (pair.given and pair.swapped):
            continue
        given, swapped = majority(pair.given), majority(pair.swapped)
        if pair.label.is_decisive:
            counts["mean_of_orders"].add(pair.item, right=(given is pair.label) + (swapped is pair.label), n=2)
        both = [verdict for verdict in (given, swapped) if verdict is not None]
        num_ties = sum(not verdict.is_decisive for verdict in both)
        is_decided = len(both) == 2 and num_ties == 0
        counts["position_consistency"].add(pair.item, right=is_decided and given is swapped)
        if is_decided:
            counts["consistent_of_decided"].add(pair.item, right=given is swapped)
        counts["tied_in_both_orders"].add(pair.item, right=num_ties == 2)
        counts["tied_in_one_order"].add(pair.item, right=num_ties == 1)
    return {name: Value.of_count(count) for name, count in counts.items()}
