"""Pairwise comparisons of N candidates -> win rates, Bradley-Terry strengths, and which pairs to compare at all."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

from urt_core.comparison import Comparison
from urt_core.engines import Status, Usage
from urt_core.errors import ConfigError
from urt_core.records import Preference

Pair = tuple[int, int]
RankMethod = Literal["round_robin", "swiss"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Ranking:
    """N candidates, ranked by comparing pairs of them. Failed comparisons count for nobody.

    Ranking(win_rates=(0.75, 0.25, 0.5), strengths=(0.9, -0.9, 0.0), order=(0, 2, 1), num_failed=0, comparisons={...})
    """

    win_rates: tuple[float, ...]
    """Wins, and ties by half, over the candidate's readable comparisons; NaN where it has none. In a round robin over a
    group of samples this is the reward of Pref-GRPO (arXiv 2508.20751)."""
    strengths: tuple[float, ...]
    """Bradley-Terry log-strengths with mean 0: i beats j with probability sigmoid(strength i - strength j)."""
    order: tuple[int, ...]
    """Candidates from best to worst by strength."""
    num_failed: int
    comparisons: dict[Pair, Comparison] = field(repr=False)
    """(i, j) -> comparison with candidate i as first."""
    key: str = "rank"

    @property
    def status(self) -> Status:
        """`ok` if every candidate was judged at least once; otherwise why a comparison of one that was not has failed."""
        for candidate, rate in enumerate(self.win_rates):
            if math.isnan(rate):
                met = [comparison.status for pair, comparison in self.comparisons.items() if candidate in pair]
                return met[0] if met else Status.PARSE_ERROR
        return Status.OK

    @property
    def usage(self) -> Usage:
        return sum((comparison.usage for comparison in self.comparisons.values()), Usage())

    @property
    def detail(self) -> str:
        return next((c.detail for c in self.comparisons.values() if c.status is not Status.OK), "")

    def to_json(self) -> dict[str, Any]:
        """Comparisons with their votes included; a win rate that does not exist is null."""
        return {
            "key": self.key,
            "status": str(self.status),
            "win_rates": [None if math.isnan(rate) else rate for rate in self.win_rates],
            "strengths": list(self.strengths),
            "order": list(self.order),
            "num_failed": self.num_failed,
            "usage": self.usage.to_json(),
            "comparisons": [{"pair": list(pair)} | c.to_json() for pair, c in self.comparisons.items()],
        }


def rank_candidates(num_candidates: int, comparisons: dict[Pair, Comparison], *, key: str = "rank") -> Ranking:
    wins = [[0.0] * num_candidates for _ in range(num_candidates)]
    num_failed = 0
    for (i, j), comparison in comparisons.items():
        if comparison.status is not Status.OK:
            num_failed += 1
            continue
        share = {Preference.FIRST: 1.0, Preference.SECOND: 0.0}.get(comparison.preference or Preference.TIE, 0.5)
        wins[i][j] += share
        wins[j][i] += 1 - share
    played = [sum(wins[i]) + sum(wins[j][i] for j in range(num_candidates)) for i in range(num_candidates)]
    strengths = bradley_terry(wins)
    return Ranking(
        win_rates=tuple(sum(wins[i]) / played[i] if played[i] else math.nan for i in range(num_candidates)),
        strengths=strengths,
        order=tuple(sorted(range(num_candidates), key=lambda i: -strengths[i])),
        num_failed=num_failed,
        comparisons=comparisons,
        key=key,
    )


def bradley_terry(wins: Sequence[Sequence[float]], *, prior: float = 0.1, tolerance: float = 1e-9) -> tuple[float, ...]:
    """Maximum-likelihood log-strengths by minorisation-maximisation (Hunter 2004, eq. 3); ties are half a win each.

    Differs from the plain estimate in `prior`: each candidate also has that many wins and losses against one imagined
    candidate of strength 0, so that the winner of all its comparisons stays finite.
    """
    num = len(wins)
    strengths = [1.0] * num
    for _ in range(10_000):
        updated = []
        for i in range(num):
            won = sum(wins[i]) + prior
            met = 2 * prior / (strengths[i] + 1)
            met += sum((wins[i][j] + wins[j][i]) / (strengths[i] + strengths[j]) for j in range(num) if j != i)
            updated.append(won / met if met else 1.0)
        change = max((abs(math.log(new / old)) for new, old in zip(updated, strengths, strict=True)), default=0.0)
        strengths = updated
        if change < tolerance:
            break
    logs = [math.log(strength) for strength in strengths]
    centre = sum(logs) / num if num else 0.0
    return tuple(value - centre for value in logs)


def rounds(
    num_candidates: int, method: RankMethod, num_rounds: int | None, comparisons: Mapping[Pair, Comparison]
) -> Iterator[list[Pair]]:
    """The pairs of each round; `comparisons` has to hold the results of one round when the next is asked for."""
    if num_candidates < 2:
        raise ConfigError(f"a ranking got {num_candidates} candidates; it needs at least 2")
    if method == "round_robin":
        yield round_robin(num_candidates)
    elif method == "swiss":
        for _ in range(num_rounds or swiss_rounds(num_candidates)):
            standing = rank_candidates(num_candidates, dict(comparisons))
            yield swiss_pairs(standing.strengths, set(comparisons))
    else:
        raise ConfigError(f"method is {method!r}; allowed: 'round_robin', 'swiss'")


def round_robin(num_candidates: int) -> list[Pair]:
    return list(combinations(range(num_candidates), 2))


def swiss_pairs(scores: Sequence[float], met: set[Pair]) -> list[Pair]:
    """One round: neighbours in the standing meet, nobody meets the same candidate twice; who finds no new opponent
    sits out.

    N candidates need about log2(N) rounds of N/2 comparisons instead of N(N-1)/2 comparisons.
    """
    waiting = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    pairs = []
    while len(waiting) > 1:
        i = waiting.pop(0)
        opponent = next((j for j in waiting if (min(i, j), max(i, j)) not in met), None)
        if opponent is not None:
            waiting.remove(opponent)
            pairs.append((min(i, opponent), max(i, opponent)))
    return pairs


def swiss_rounds(num_candidates: int) -> int:
    return max(1, math.ceil(math.log2(max(2, num_candidates))) + 1)
