"""Pairwise comparisons of N candidates -> win rates, Bradley-Terry strengths, and which pairs to compare at all.

Win rates are sums. Strengths are a fit, which needs numpy: only `rank_candidates` makes it.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations
from typing import Any, Literal

from urt_core.comparison import Comparison
from urt_core.engines import Completion, Status, Usage
from urt_core.errors import ConfigError
from urt_core.judging.asking import Question
from urt_core.records import Preference
from urt_core.streaming import LATER

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
        """`ok` if every candidate was judged at least once; otherwise why a comparison of one that was not has
        failed."""
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
    wins = win_matrix(num_candidates, comparisons)
    strengths = bradley_terry(wins)
    return Ranking(
        win_rates=rates(wins),
        strengths=strengths,
        order=tuple(sorted(range(num_candidates), key=lambda i: -strengths[i])),
        num_failed=sum(comparison.status is not Status.OK for comparison in comparisons.values()),
        comparisons=comparisons,
        key=key,
    )


def failed_ranking(comparison: Comparison) -> Ranking:
    """Of candidates that could not even be compared, as the one `comparison` between them says."""
    return Ranking(
        win_rates=(math.nan, math.nan),
        strengths=(0.0, 0.0),
        order=(0, 1),
        num_failed=1,
        comparisons={(0, 1): comparison},
        key=comparison.key,
    )


def win_rates(num_candidates: int, comparisons: Mapping[Pair, Comparison]) -> tuple[float, ...]:
    """`Ranking.win_rates` alone, for rewards: nothing is fitted."""
    return rates(win_matrix(num_candidates, comparisons))


def win_matrix(num_candidates: int, comparisons: Mapping[Pair, Comparison]) -> list[list[float]]:
    """[N, N]: how often the row's candidate beat the column's, a tie being half a win of each. Failures count for
    nobody."""
    wins = [[0.0] * num_candidates for _ in range(num_candidates)]
    for (i, j), share in _shares(comparisons):
        wins[i][j] += share
        wins[j][i] += 1 - share
    return wins


def _shares(comparisons: Mapping[Pair, Comparison]) -> Iterator[tuple[Pair, float]]:
    """What the first of each pair that was read has won of the one point between them."""
    won = {Preference.FIRST: 1.0, Preference.SECOND: 0.0}
    for pair, comparison in comparisons.items():
        if comparison.status is Status.OK:
            yield pair, won.get(comparison.preference or Preference.TIE, 0.5)


def rates(wins: Sequence[Sequence[float]]) -> tuple[float, ...]:
    lost = [sum(column) for column in zip(*wins, strict=True)]
    won = [sum(row) for row in wins]
    return tuple(w / (w + d) if w + d else math.nan for w, d in zip(won, lost, strict=True))


def numpy() -> Any:
    """The module, or what to install. Asked for before a ranking sends its first request."""
    try:
        import numpy as np
    except ImportError as error:
        raise ConfigError(
            'a ranking fits strengths with numpy, which is not installed: pip install "urt-core[rank]"'
        ) from error
    return np


def bradley_terry(wins: Sequence[Sequence[float]], *, prior: float = 0.1) -> tuple[float, ...]:
    """Maximum-likelihood log-strengths [N] of the model of Bradley and Terry (1952) for `wins` [N, N]; ties are half a
    win each.

    Differs from the plain estimate in `prior`: each candidate also has that many wins and losses against one imagined
    candidate of strength 0, so that the winner of all its comparisons stays finite. That makes the log-likelihood
    strictly concave, and Newton's method with halved steps finds its maximum in about ten solves;
    minorisation-maximisation (Hunter 2004, eq. 3) has the same maximum and needs thousands of sweeps for a judge that
    never contradicts itself.
    """
    np = numpy()
    won = np.array(wins, dtype=float).reshape(len(wins), len(wins))
    np.fill_diagonal(won, 0.0)
    met, strengths = won + won.T, np.zeros(len(won))

    def loss(at: Any) -> float:
        """-log-likelihood, as -log sigmoid(x) = log(1 + exp(-x))."""
        against_all = (won * np.logaddexp(0.0, at[None, :] - at[:, None])).sum()
        return against_all + prior * (np.logaddexp(0.0, -at) + np.logaddexp(0.0, at)).sum()

    for _ in range(100):
        beats = 0.5 + 0.5 * np.tanh((strengths[:, None] - strengths[None, :]) / 2)  # sigmoid that can't overflow
        above_zero = 0.5 + 0.5 * np.tanh(strengths / 2)
        gradient = (won - met * beats).sum(1) + prior * (1 - 2 * above_zero)
        curvature = -met * beats * (1 - beats)
        np.fill_diagonal(curvature, 2 * prior * above_zero * (1 - above_zero) - curvature.sum(1))
        step = np.linalg.solve(curvature, gradient) if len(won) else gradient
        before, length = loss(strengths), 1.0
        while loss(strengths + length * step) > before and length > 1e-6:
            length /= 2
        strengths = strengths + length * step
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return tuple((strengths - strengths.mean()).tolist()) if len(won) else ()


class Matches:
    """Which pairs of N candidates are compared, one after the other, and what came of it.

    A Swiss round is paired by all results but those of the pairs at the end of the round before, a half of it, so that
    no request waits for the last answer of a round. Who meets whom is a function of the answers alone, whichever comes
    first and however many are asked at a time. What it costs is in docs/experiments.md.

        matches = Matches(100, "swiss")
        questions = matches.questions(lambda pair: scorer.pair_question(record_of(pair)))
    """

    def __init__(self, num_candidates: int, method: RankMethod, num_rounds: int | None = None) -> None:
        if num_candidates < 2:
            raise ConfigError(f"a ranking got {num_candidates} candidates; it needs at least 2")
        if method not in ("round_robin", "swiss"):
            raise ConfigError(f"method is {method!r}; allowed: 'round_robin', 'swiss'")
        numpy()
        self.num_candidates, self.method = num_candidates, method
        self.num_rounds = (num_rounds or swiss_rounds(num_candidates)) if method == "swiss" else 1
        self.num_unknown = num_candidates // 4
        """Pairs before a round whose results it does not look at."""
        self.comparisons: dict[Pair, Comparison] = {}
        self._asked: list[Pair] = []

    def questions(
        self, ask: Callable[[Pair], Question[Comparison] | Comparison]
    ) -> Iterator[Question[Comparison] | Comparison]:
        """One for each pair; `LATER` while the next round waits for results, which are those that were read."""
        num_read = 0
        for _ in range(self.num_rounds):
            known = self._asked[: max(0, len(self._asked) - self.num_unknown)]
            # This is asked after each answer, so that it looks on from where it stood and not from the start.
            while num_read < len(known):
                if known[num_read] in self.comparisons:
                    num_read += 1
                else:
                    yield LATER
            for pair in self._round(known):
                self._asked.append(pair)
                question = ask(pair)
                if isinstance(question, Question):
                    yield replace(question, read=partial(self._read, pair, question.read))
                else:
                    self.comparisons[pair] = question
                    yield question

    def _read(
        self,
        pair: Pair,
        read: Callable[[Sequence[Sequence[Completion]]], Comparison],
        answers: Sequence[Sequence[Completion]],
    ) -> Comparison:
        self.comparisons[pair] = read(answers)
        return self.comparisons[pair]

    def _round(self, known: Sequence[Pair]) -> list[Pair]:
        if self.method == "round_robin":
            return round_robin(self.num_candidates)
        results = {pair: self.comparisons[pair] for pair in known}
        return swiss_pairs(standing(self.num_candidates, results), set(self._asked))

    def ranking(self, key: str) -> Ranking:
        """Of what was compared, in the order of asking."""
        compared = {pair: self.comparisons[pair] for pair in self._asked}
        return rank_candidates(self.num_candidates, compared, key=key)


def num_comparisons(num_candidates: int, method: RankMethod, num_rounds: int | None = None) -> int:
    """At most so many pairs are compared: 100 candidates are 4,950 in a round robin, 400 in 8 Swiss rounds."""
    everybody = num_candidates * (num_candidates - 1) // 2
    if method == "round_robin":
        return everybody
    return min(everybody, (num_rounds or swiss_rounds(num_candidates)) * (num_candidates // 2))


def round_robin(num_candidates: int) -> list[Pair]:
    return list(combinations(range(num_candidates), 2))


def standing(num_candidates: int, comparisons: Mapping[Pair, Comparison]) -> list[tuple[float, float]]:
    """(points, points of the opponents met) of each candidate: the tie-break that Swiss tournaments call Buchholz."""
    points = [0.0] * num_candidates
    for (i, j), share in _shares(comparisons):
        points[i] += share
        points[j] += 1 - share
    buchholz = [0.0] * num_candidates
    for i, j in comparisons:
        buchholz[i] += points[j]
        buchholz[j] += points[i]
    return list(zip(points, buchholz, strict=True))


def swiss_pairs(scores: Sequence[Any], met: set[Pair]) -> list[Pair]:
    """One round: neighbours in the standing meet, nobody meets the same candidate twice; of an odd number one sits out,
    who has played as much as any.

    N candidates need about log2(N) rounds of N/2 comparisons instead of N(N-1)/2 comparisons. Up to N/2 rounds every
    round is full: two who are left over and have met already trade opponents with a pair that is apart enough.
    """
    played = Counter(candidate for pair in met for candidate in pair)
    waiting = sorted(range(len(scores)), key=lambda i: scores[i], reverse=True)
    if len(waiting) % 2:
        waiting.remove(max(reversed(waiting), key=lambda i: played[i]))
    pairs, left_over = [], []
    while waiting:
        i = waiting.pop(0)
        opponent = next((j for j in waiting if ordered(i, j) not in met), None)
        if opponent is None:
            left_over.append(i)
        else:
            waiting.remove(opponent)
            pairs.append(ordered(i, opponent))
    while len(left_over) > 1:
        a, b = left_over.pop(), left_over.pop()
        for index in reversed(range(len(pairs))):  # the nearest in the standing come last
            c, d = pairs[index]
            trade = next((two for two in ((c, d), (d, c)) if not met & {ordered(a, two[0]), ordered(b, two[1])}), None)
            if trade is not None:
                pairs[index : index + 1] = [ordered(b, trade[1]), ordered(a, trade[0])]
                break
    return pairs


def ordered(i: int, j: int) -> Pair:
    return (i, j) if i < j else (j, i)


def swiss_rounds(num_candidates: int) -> int:
    return max(1, math.ceil(math.log2(max(2, num_candidates))) + 1)
