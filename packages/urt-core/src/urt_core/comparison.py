"""Votes -> `Comparison`: what a judge says about two candidates once order, repetition and failures are accounted
for."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Literal

from urt_core.engines import Completion, Status, Usage
from urt_core.errors import ConfigError
from urt_core.judgement import Judgement, ParseFailure, parse_judgement
from urt_core.judging.verdict_logprob import verdict_probability
from urt_core.prompts import Dialect
from urt_core.records import Preference, PreferenceRecord, Task

# P(first) = sigmoid(margin / MARGIN_SCALE). Three points of the summed scores make odds of e:1, close to the margin
# study of the Tencent-Hunyuan fork of UnifiedReward (margins 0-3: 68-75 % right, 5 and more: about 86 %). A calibration
# map fitted on one's own labels replaces this guess.
MARGIN_SCALE = 3.0


Orders = Literal["both", "given"]


class Order(StrEnum):
    """How the candidates were shown."""

    GIVEN = "given"
    SWAPPED = "swapped"


def asked_orders(orders: Orders) -> tuple[Order, ...]:
    if orders not in ("both", "given"):
        raise ConfigError(f"orders is {orders!r}; allowed: 'both', 'given'")
    return (Order.GIVEN, Order.SWAPPED) if orders == "both" else (Order.GIVEN,)


class ProbabilityMethod(StrEnum):
    """Where `Comparison.probability_first` comes from."""

    VOTES = "votes"
    """The share of votes, each order counting the same."""
    MARGIN = "margin"
    """A logistic function of the mean difference of the stated totals."""
    LOGPROB = "logprob"
    """The probability the judge gave to the candidate number in its answer. After a chain of thought that is mostly
    close to 0 or 1, because the reasoning has decided already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vote:
    """One completion in one order. Scores and verdict are as shown: in the swapped order "first" is the second
    candidate.

    Vote(order=Order.GIVEN, status=Status.OK, judgement=Judgement(verdict=Preference.FIRST, ...),
    completion=Completion(...))
    """

    order: Order
    status: Status
    judgement: Judgement | ParseFailure | None
    """None where there is no finished text to read."""
    completion: Completion

    @property
    def preference(self) -> Preference | None:
        """The vote in terms of the record's own order; None where the judgement could not be read."""
        if self.status is not Status.OK or not isinstance(self.judgement, Judgement):
            return None
        verdict = self.judgement.verdict
        return verdict.swap() if self.order is Order.SWAPPED else verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two candidates, compared. Where `status` is not `ok` there is no preference and no number.

    Comparison(key="pair-17", task=Task.IMAGE_GENERATION, status=Status.OK, preference=Preference.FIRST,
               probability_first=1.0, probability_method=ProbabilityMethod.VOTES, margin=4.5,
               scores={"authenticity": (8.0, 6.5), ...}, position_consistent=True, votes=(Vote(...), Vote(...)),
               usage=Usage(prompt_tokens=1624, completion_tokens=310), model="judge-7b", preprocessing="rgb-white-...")
    """

    key: str
    task: Task | None
    """None where the request was so wrong that it has none."""
    status: Status
    preference: Preference | None
    probability_first: float | None
    """Probability that the first candidate is the better one, by `probability_method`."""
    probability_method: ProbabilityMethod
    margin: float | None = None
    """Mean difference of the stated totals, first less second, over both orders."""
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Lower-case dimension -> mean scores of (first, second), over both orders."""
    position_consistent: bool | None = None
    """Whether both orders name the same candidate; None where only one order was asked or something failed."""
    votes: tuple[Vote, ...] = field(default=(), repr=False)
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    preprocessing: str = ""
    """Name of the rule that turned files into pixels."""
    detail: str = ""
    """What went wrong, for the reader of a log."""
    wording: str = ""
    """What there is to say about the prompt, where it is not the one that the judge was trained with."""
    mode: str = ""
    """How it was judged, where a mode was asked for: instant, or reason."""
    calibrated: bool = False
    """Whether `probability_first` is calibrated by the maps in the judge's judge.json."""
    instant_probability: float | None = None
    """What the calibrated instant answer had been, where `auto` went on to reason."""

    @property
    def judgements(self) -> tuple[Judgement | ParseFailure, ...]:
        """What was read in each vote, as shown."""
        return tuple(vote.judgement for vote in self.votes if vote.judgement is not None)

    @property
    def num_failed(self) -> int:
        """Votes without a verdict."""
        return sum(vote.preference is None for vote in self.votes)

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "task": None if self.task is None else str(self.task),
            "status": str(self.status),
            "preference": str(self.preference) if self.preference else None,
            "probability_first": self.probability_first,
            "probability_method": str(self.probability_method),
            "margin": self.margin,
            "scores": {dimension: list(pair) for dimension, pair in self.scores.items()},
            "position_consistent": self.position_consistent,
            "num_votes": len(self.votes),
            "num_failed": self.num_failed,
            "votes": [vote_to_json(vote) for vote in self.votes],
            "usage": self.usage.to_json(),
            "model": self.model,
            "preprocessing": self.preprocessing,
            "detail": self.detail,
            **({"wording": self.wording} if self.wording else {}),
            **({"mode": self.mode, "calibrated": self.calibrated} if self.mode else {}),
            **({} if self.instant_probability is None else {"instant_probability": self.instant_probability}),
        }


def vote_to_json(vote: Vote) -> dict[str, Any]:
    """A vote for result files and answers of the server: the text it was read from is kept whole."""
    judgement = vote.judgement
    return {
        "order": str(vote.order),
        "status": str(vote.status),
        "preference": str(vote.preference) if vote.preference else None,
        "failure": judgement.kind if isinstance(judgement, ParseFailure) else None,
        "confidence": judgement.confidence if isinstance(judgement, Judgement) else None,
        "text": vote.completion.text,
        "detail": vote.completion.detail,
    }


def read_vote(completion: Completion, *, order: Order, task: Task, dialect: Dialect) -> Vote:
    """Parse a finished completion; an unfinished one keeps its status and is not read."""
    if completion.status is not Status.OK:
        return Vote(order=order, status=completion.status, judgement=None, completion=completion)
    judgement = parse_judgement(completion.text, task=task, dialect=dialect)
    status = Status.OK if isinstance(judgement, Judgement) else Status.PARSE_ERROR
    return Vote(order=order, status=status, judgement=judgement, completion=completion)


def compare_votes(
    record: PreferenceRecord,
    votes: Sequence[Vote],
    *,
    method: ProbabilityMethod = ProbabilityMethod.VOTES,
    model: str = "",
    preprocessing: str = "",
    wording: str = "",
) -> Comparison:
    """Aggregate. Each asked order needs at least one readable vote; the majority of an order is its preference; two
    orders that differ make a tie with `position_consistent=False`."""
    by_order = {order: [vote for vote in votes if vote.order is order] for order in Order}
    by_order = {order: cast for order, cast in by_order.items() if cast}
    usage = sum((vote.completion.usage for vote in votes), Usage())
    for cast in by_order.values():
        if all(vote.preference is None for vote in cast):
            [(status, _)] = Counter(vote.status for vote in cast).most_common(1)
            return Comparison(
                key=record.key,
                task=record.task,
                status=status,
                preference=None,
                probability_first=None,
                probability_method=method,
                votes=tuple(votes),
                usage=usage,
                model=model,
                preprocessing=preprocessing,
                wording=wording,
                detail=next(failure_detail(vote) for vote in cast if vote.status is status),
            )
    preferences = [majority(cast) for cast in by_order.values()]
    consistent = len(set(preferences)) == 1
    readable = {order: [vote for vote in cast if vote.preference is not None] for order, cast in by_order.items()}
    margin = mean_over_orders(readable, vote_margin)
    method, probability = probability_first(readable, margin, method)
    return Comparison(
        key=record.key,
        task=record.task,
        status=Status.OK,
        preference=preferences[0] if consistent else Preference.TIE,
        probability_first=probability,
        probability_method=method,
        margin=margin,
        scores=mean_scores(readable),
        position_consistent=consistent if len(by_order) == 2 else None,
        votes=tuple(votes),
        usage=usage,
        model=model,
        preprocessing=preprocessing,
        wording=wording,
    )


def failed_comparison(*, key: str, task: Task | None, completion: Completion, method: ProbabilityMethod) -> Comparison:
    """Of a pair that could not even be asked."""
    vote = Vote(order=Order.GIVEN, status=completion.status, judgement=None, completion=completion)
    return Comparison(
        key=key,
        task=task,
        status=vote.status,
        preference=None,
        probability_first=None,
        probability_method=method,
        votes=(vote,),
        detail=completion.detail,
    )


def failure_detail(vote: Vote) -> str:
    if isinstance(vote.judgement, ParseFailure):
        hint = f" ({vote.completion.detail})" if vote.completion.detail else ""
        return f"{vote.judgement.kind}: {vote.judgement.excerpt}{hint}"
    if vote.status is Status.TRUNCATED:
        return f"the token limit came first: {vote.completion.text[-160:]}"
    return vote.completion.detail


def majority(votes: Sequence[Vote]) -> Preference:
    share = mean([vote_share(vote) for vote in votes if vote.preference is not None])
    if share == 0.5:
        return Preference.TIE
    return Preference.FIRST if share > 0.5 else Preference.SECOND


def probability_first(
    readable: dict[Order, list[Vote]], margin: float | None, method: ProbabilityMethod
) -> tuple[ProbabilityMethod, float]:
    """By `method`, or by votes where the judgements do not hold what the method needs; the returned method says
    which."""
    if method is ProbabilityMethod.MARGIN and margin is not None:
        return method, 1 / (1 + math.exp(-margin / MARGIN_SCALE))
    if method is ProbabilityMethod.LOGPROB:
        # One order alone would hold the judge's leaning to what it is shown first.
        by_order = [mean_over_orders({order: votes}, vote_probability) for order, votes in readable.items()]
        known = [probability for probability in by_order if probability is not None]
        if len(known) == len(by_order):
            return method, mean(known)
    share = mean_over_orders(readable, vote_share)
    assert share is not None
    return ProbabilityMethod.VOTES, share


def by_votes(comparison: Comparison) -> Comparison:
    """The same with the probability that its votes alone give."""
    readable: dict[Order, list[Vote]] = {}
    for vote in comparison.votes:
        if vote.preference is not None:
            readable.setdefault(vote.order, []).append(vote)
    method, share = probability_first(readable, None, ProbabilityMethod.VOTES)
    return replace(comparison, probability_method=method, probability_first=share)


def vote_share(vote: Vote) -> float:
    return {Preference.FIRST: 1.0, Preference.TIE: 0.5, Preference.SECOND: 0.0}[vote.preference or Preference.TIE]


def vote_probability(vote: Vote) -> float | None:
    """exp of the log-probability of the candidate number in the answer, turned to the first candidate."""
    probability = verdict_probability(vote.completion)
    if probability is None or vote.preference is Preference.TIE:
        return None
    return probability if vote.preference is Preference.FIRST else 1 - probability


def vote_margin(vote: Vote) -> float | None:
    assert isinstance(vote.judgement, Judgement)
    margin = vote.judgement.margin
    if margin is None and vote.judgement.scores:
        margin = sum(first - second for first, second in vote.judgement.scores.values())
    if margin is None:
        return None
    return -margin if vote.order is Order.SWAPPED else margin


def mean_scores(readable: dict[Order, list[Vote]]) -> dict[str, tuple[float, float]]:
    dimensions = {
        dimension: None
        for votes in readable.values()
        for vote in votes
        if isinstance(vote.judgement, Judgement)
        for dimension in vote.judgement.scores
    }
    return {dimension: _mean_score(readable, dimension) for dimension in dimensions}


def _mean_score(readable: dict[Order, list[Vote]], dimension: str) -> tuple[float, float]:
    """Of the first and of the second candidate, the mean of each order's mean over the votes that score them."""
    means: list[tuple[float, float]] = []
    for order, votes in readable.items():
        read = [vote.judgement for vote in votes if isinstance(vote.judgement, Judgement)]
        if pairs := [judgement.scores[dimension] for judgement in read if dimension in judgement.scores]:
            shown, other = mean([pair[0] for pair in pairs]), mean([pair[1] for pair in pairs])
            means.append((other, shown) if order is Order.SWAPPED else (shown, other))
    return mean([first for first, _ in means]), mean([second for _, second in means])


def mean_over_orders(readable: dict[Order, list[Vote]], value: Callable[[Vote], float | None]) -> float | None:
    """The mean of each order's mean: a failed vote must not give the other order more weight. None where no vote has
    it."""
    means = []
    for votes in readable.values():
        values = [number for vote in votes if (number := value(vote)) is not None]
        if values:
            means.append(mean(values))
    return mean(means) if means else None


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
