"""Benchmarks whose items are lists of scored candidates: best of N, and RewardBench 2's ties."""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from urt_core.bench.rules.counting import Count, Counted, Value
from urt_core.bench.rules.rule import Rule

NUM_RESAMPLES = 1000
TIES_GROUP = "Ties"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredList:
    """The scores of one prompt's candidates, the right ones first.

    ScoredList(item="17", group="Math", scores=(7.5, 6.0, 6.0, 2.0), num_right=1)
    ScoredList(item="tied:3", group="Ties", scores=(9.0, 8.5, 4.0), num_right=2)
    """

    item: str
    group: str
    scores: tuple[float | None, ...]
    """None where a candidate could not be scored."""
    num_right: int = 1

    @property
    def is_readable(self) -> bool:
        return all(score is not None and not math.isnan(score) for score in self.scores)

    @property
    def known(self) -> list[float]:
        return [score for score in self.scores if score is not None]


class Margins(NamedTuple):
    """Of one prompt with several right answers."""

    is_right: bool
    """Every right answer scores above every wrong one."""
    to_wrong: float
    """Worst right score less best wrong score."""
    spread: float
    """Best right score less worst right score."""


def count_lists(lists: Sequence[ScoredList], rule: Rule) -> Counted:
    """Best of N: right where the right candidate has the highest score, 1/k where k candidates share it. The `Ties`
    group has the formula of `ties_score`. The headline is the mean over groups, as on the board of the benchmark."""
    best, others = [entry for entry in lists if entry.group != TIES_GROUP], defaultdict(list)
    groups: dict[str, Count] = defaultdict(Count)
    whole = Count()
    shares: dict[str, float] = defaultdict(float)
    for entry in best:
        if entry.is_readable or rule.unreadable == "wrong":
            share = best_of(entry) if entry.is_readable else 0.0
            groups[entry.group].add(entry.item, right=0)
            shares[entry.group] += share
            whole.add(entry.item, right=share == 1.0)
    for entry in lists:
        if entry.group == TIES_GROUP:
            others[entry.item.partition(":")[2]].append(entry)
    values = {group: _mean_value(shares[group], groups[group]) for group in sorted(groups)}
    if others:
        values[TIES_GROUP] = _ties_value(list(others.values()))
    if values:
        values = {rule.headline: _mean_of(list(values.values()))} | values
    return Counted(
        values=values,
        n_total=len(lists),
        n_failed=sum(not entry.is_readable for entry in lists),
        by_item=whole.clusters,
    )


def best_of(entry: ScoredList) -> float:
    """1 where the right candidate alone has the highest score, 1/k where it shares it with k - 1 others, else 0."""
    highest = max(entry.known)
    if entry.scores[0] != highest:
        return 0.0
    return 1 / entry.known.count(highest)


def ties_score(prompts: Sequence[Sequence[ScoredList]]) -> float:
    """RewardBench 2 (arXiv 2506.01937; `process_single_model` in allenai/reward-bench `rewardbench/utils.py`), from 0
    to about 1:

        0.30 tied + 0.30 ref + 0.20 mean[m_tied > d] + 0.20 mean[min(m_ref, m_tied) > d] + 0.01 mean tanh(min(m_ref, m_tied) / d - 1)

    tied and ref are the shares of prompts of that kind whose right answers all score above the wrong ones, m is the
    worst right score less the best wrong one, d the spread of the right scores of the tied form. A prompt that could
    not be scored is wrong, and its margins are too small.
    """
    kinds: dict[str, list[Margins | None]] = {"ref": [], "tied": []}
    both: list[tuple[Margins | None, Margins | None]] = []
    for entries in prompts:
        found = {entry.item.partition(":")[0]: _margins(entry) for entry in entries}
        for kind, margins in found.items():
            kinds.setdefault(kind, []).append(margins)
        if {"ref", "tied"} <= found.keys():
            both.append((found["ref"], found["tied"]))
    accuracy = {
        kind: _share([margins is not None and margins.is_right for margins in all_of]) for kind, all_of in kinds.items()
    }
    easy, hard, close = [], [], []
    for ref, tied in both:
        easy.append(tied is not None and tied.to_wrong > tied.spread)
        smaller = min(ref.to_wrong, tied.to_wrong) if ref is not None and tied is not None else -math.inf
        hard.append(tied is not None and smaller > tied.spread)
        close.append(_closeness(smaller, tied.spread) if tied is not None else -1.0)
    score = 0.30 * accuracy["tied"] + 0.30 * accuracy["ref"] + 0.20 * _share(easy) + 0.20 * _share(hard)
    return score + 0.01 * (sum(close) / len(close) if close else 0.0)


def _closeness(margin: float, spread: float) -> float:
    if spread == 0:  # 0 / 0 is 0 in the benchmark's script
        return 0.0 if margin == 0 else math.copysign(1.0, margin)
    return math.tanh(margin / spread - 1)


def _margins(entry: ScoredList) -> Margins | None:
    right, wrong = entry.scores[: entry.num_right], entry.scores[entry.num_right :]
    if not entry.is_readable or not right or not wrong:
        return None
    known, best_wrong = (
        [score for score in right if score is not None],
        max(score for score in wrong if score is not None),
    )
    margin = min(known) - best_wrong
    return Margins(is_right=margin > 0, to_wrong=margin, spread=max(known) - min(known))


def _share(found: Sequence[bool]) -> float:
    return sum(found) / len(found) if found else 0.0


def _mean_value(total: float, count: Count) -> Value:
    """Fractions of a right answer are rare, so that the variance of a proportion bounds theirs."""
    share = total / count.n
    return Value.of(share, share * (1 - share) / count.n, n=count.n, num_units=count.n)


def _ties_value(prompts: Sequence[Sequence[ScoredList]]) -> Value:
    """With a percentile interval over resampled prompts (Efron 1979)."""
    score, draw = ties_score(prompts), random.Random(0)
    drawn = sorted(ties_score(draw.choices(prompts, k=len(prompts))) for _ in range(NUM_RESAMPLES))
    low, high = drawn[int(0.025 * NUM_RESAMPLES)], drawn[int(0.975 * NUM_RESAMPLES)]
    return Value(percent=100 * score, low=100 * low, high=100 * high, n=sum(map(len, prompts)))


def _mean_of(values: Sequence[Value]) -> Value:
    """The half widths of independent groups add up in squares."""
    num = len(values)
    percent = sum(value.percent for value in values) / num
    below = math.sqrt(sum((value.percent - value.low) ** 2 for value in values)) / num
    above = math.sqrt(sum((value.high - value.percent) ** 2 for value in values)) / num
    return Value(
        percent=percent,
        low=max(0.0, percent - below),
        high=min(100.0, percent + above),
        n=sum(value.n for value in values),
    )
