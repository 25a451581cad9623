"""Samples in, rewards and statuses out: what all adapters share."""

import asyncio
import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, NamedTuple

from urt_core.adapters.references import ReferencePool
from urt_core.comparison import Comparison
from urt_core.engines import Status
from urt_core.points import PointRequest, PointScore
from urt_core.prompts import PointContract
from urt_core.ranking import Pair, round_robin, win_rates
from urt_core.records import PreferenceRecord, Task
from urt_core.scorer import Scorer


class Rewards(NamedTuple):
    """`values[i]` is None where `statuses[i]` is not ok."""

    values: list[float | None]
    statuses: list[Status]


def win_rate_rewards(
    scorer: Scorer,
    *,
    task: Task,
    texts: Sequence[str],
    candidates: Sequence[Any],
    groups: Sequence[Hashable],
    media: Sequence[Any] | None = None,
    references: ReferencePool | None = None,
) -> Rewards:
    """The share of its group's other samples that each sample beats, ties by half (Pref-GRPO, arXiv 2508.20751).

    Differs from the published code in two ways: each pair is judged in both orders (unless the scorer was built with
    `orders="given"`), and an unreadable judgement counts for neither side instead of half a win for both. A sample that
    is alone in its group gets the mean probability that it is better than its `references`; without any its status is
    `alone`.
    """
    games = Games(texts, groups, references)
    records = games.records(scorer, task=task, texts=texts, candidates=candidates, media=media)
    return games.rewards(list(scorer.compare_batch(records)))


async def awin_rate_rewards(
    scorer: Scorer,
    *,
    task: Task,
    texts: Sequence[str],
    candidates: Sequence[Any],
    groups: Sequence[Hashable],
    media: Sequence[Any] | None = None,
    references: ReferencePool | None = None,
) -> Rewards:
    """`win_rate_rewards` of an asynchronous caller."""
    games = Games(texts, groups, references)
    candidates = await asyncio.to_thread(scorer.prepared, candidates, task=task)
    if media is not None:
        media = await asyncio.to_thread(scorer.prepared_media, media, task=task)
    records = games.records(scorer, task=task, texts=texts, candidates=candidates, media=media)
    return games.rewards([comparison async for comparison in scorer.acompare_batch(records)])


class Games:
    """All pairs of all groups in one stream, so that no batch is smaller than it could be; then lone samples against
    their references."""

    def __init__(
        self, texts: Sequence[str], groups: Sequence[Hashable], references: ReferencePool | None = None
    ) -> None:
        self.members: dict[Hashable, list[int]] = {}
        for index, group in enumerate(groups):
            self.members.setdefault(group, []).append(index)
        self.pairs = [(group, pair) for group, indices in self.members.items() for pair in round_robin(len(indices))]
        self.alone = [indices[0] for indices in self.members.values() if len(indices) == 1]
        self.opponents = [
            (index, reference)
            for index in self.alone
            for reference in (references.of(texts[index]) if references else ())
        ]

    def records(
        self,
        scorer: Scorer,
        *,
        task: Task,
        texts: Sequence[str],
        candidates: Sequence[Any],
        media: Sequence[Any] | None,
    ) -> Iterator[PreferenceRecord | Comparison]:
        candidates = scorer.prepared(candidates, task=task)
        media = scorer.prepared_media(media, task=task) if media is not None else None
        opponents = scorer.prepared([reference for _, reference in self.opponents], task=task)
        games = [
            (self.members[group][one], candidates[self.members[group][other]]) for group, (one, other) in self.pairs
        ]
        games += [(index, opponent) for (index, _), opponent in zip(self.opponents, opponents, strict=True)]
        for number, (index, opponent) in enumerate(games):
            yield scorer.record(
                task=task,
                text=texts[index],
                first=candidates[index],
                second=opponent,
                media=media[index] if media is not None else None,
                key=f"pair-{number}",
            )

    def rewards(self, comparisons: Sequence[Comparison]) -> Rewards:
        num_samples = sum(map(len, self.members.values()))
        values: list[float | None] = [None] * num_samples
        statuses = [Status.OK] * num_samples
        judged: dict[Hashable, dict[Pair, Comparison]] = {group: {} for group in self.members}
        for (group, pair), comparison in zip(self.pairs, comparisons, strict=False):
            judged[group][pair] = comparison
        for group, indices in self.members.items():
            rates = win_rates(len(indices), judged[group])
            for member, index in enumerate(indices):
                if math.isnan(rates[member]):
                    statuses[index] = next(
                        (c.status for pair, c in judged[group].items() if member in pair), Status.ALONE
                    )
                else:
                    values[index] = rates[member]
        met: dict[int, list[Comparison]] = {}
        for (index, _), comparison in zip(self.opponents, comparisons[len(self.pairs) :], strict=True):
            met.setdefault(index, []).append(comparison)
        for index, games in met.items():
            values[index], statuses[index] = mean_probability(games)
        return Rewards(values, statuses)


def mean_probability(comparisons: Sequence[Comparison]) -> tuple[float | None, Status]:
    """How likely the first candidate is better than its opponents; those that could not be judged do not count."""
    chances = [c.probability_first for c in comparisons if c.probability_first is not None]
    return (sum(chances) / len(chances), Status.OK) if chances else (None, comparisons[0].status)


def score_rewards(
    scorer: Scorer,
    *,
    task: Task,
    texts: Sequence[str],
    candidates: Sequence[Any],
    media: Sequence[Any] | None = None,
    contract: PointContract | str = PointContract.THINK,
) -> Rewards:
    """The pointwise score of each sample, on a scale from 0 to 1."""
    requests = point_requests(scorer, task=task, texts=texts, candidates=candidates, media=media, contract=contract)
    return fractions(list(scorer.score_batch(requests, contract=contract)))


async def ascore_rewards(
    scorer: Scorer,
    *,
    task: Task,
    texts: Sequence[str],
    candidates: Sequence[Any],
    media: Sequence[Any] | None = None,
    contract: PointContract | str = PointContract.THINK,
) -> Rewards:
    requests = point_requests(scorer, task=task, texts=texts, candidates=candidates, media=media, contract=contract)
    return fractions([score async for score in scorer.ascore_batch(requests, contract=contract)])


def point_requests(
    scorer: Scorer,
    *,
    task: Task,
    texts: Sequence[str],
    candidates: Sequence[Any],
    media: Sequence[Any] | None,
    contract: PointContract | str,
) -> Iterator[PointRequest | PointScore]:
    for index, (text, candidate) in enumerate(zip(texts, candidates, strict=True)):
        medium = media[index] if media is not None else None
        yield scorer.point_request(
            task=task, text=text, candidate=candidate, media=medium, contract=contract, key=f"sample-{index}"
        )


def fractions(scores: Sequence[PointScore]) -> Rewards:
    return Rewards([score.fraction for score in scores], [score.status for score in scores])


def reference_rewards(
    scorer: Scorer,
    *,
    task: Task,
    texts: Sequence[str],
    candidates: Sequence[Any],
    references: Sequence[Any],
    media: Sequence[Any] | None = None,
) -> Rewards:
    """The probability that each sample is better than its reference."""
    records = (
        scorer.record(
            task=task,
            text=texts[index],
            first=candidates[index],
            second=references[index],
            media=media[index] if media is not None else None,
            key=f"sample-{index}",
        )
        for index in range(len(texts))
    )
    comparisons = list(scorer.compare_batch(records))
    return Rewards([c.probability_first for c in comparisons], [c.status for c in comparisons])
