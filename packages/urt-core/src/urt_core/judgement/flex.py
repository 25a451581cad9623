"""Reads UnifiedReward-Flex (arXiv 2602.02380): a JSON object of categories, their dimensions with both scores, and
winners."""

from collections.abc import Iterator
from typing import Any

from urt_core.judgement.json_object import json_object
from urt_core.judgement.result import FailureKind, Judgement, ParseFailure
from urt_core.records import Preference, Task

_HIGHEST = 10.0
"""The two scores of a dimension sum to this."""
_TOLERANCE = 0.0101


def parse_flex(text: str, task: Task) -> Judgement | ParseFailure:
    """The overall winner, the scores as "category: dimension" and, as totals, each candidate's mean score.

    A category's winner that is no candidate makes the object unreadable. `sums_consistent` says that both scores of
    every dimension sum to 10 and that each category's winner has the higher mean of it.
    """
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    value = json_object(text)
    if value is None:
        return ParseFailure.at(FailureKind.NO_ANSWER, text)
    noun = Task(task).noun
    verdict = _winner(value.get("winner"), noun)
    if not isinstance(verdict, Preference):
        return ParseFailure.at(verdict, text)
    scores: dict[str, tuple[float, float]] = {}
    consistent = True
    for category, of_category, winner in _categories(value, noun):
        if not isinstance(winner, Preference):
            return ParseFailure.at(winner, category)
        scores |= {f"{category}: {name}": pair for name, pair in of_category.items()}
        first, second = _means(of_category)
        consistent &= winner is (Preference.FIRST if first > second else Preference.SECOND)
        consistent &= all(abs(sum(pair) - _HIGHEST) <= _TOLERANCE for pair in of_category.values())
    reasoning = str(value.get("reason", ""))
    if not scores:
        return Judgement(verdict=verdict, scores={}, reasoning=reasoning)
    totals = _means(scores)
    higher = (
        Preference.FIRST if totals[0] > totals[1] else Preference.SECOND if totals[1] > totals[0] else Preference.TIE
    )
    return Judgement(
        verdict=verdict,
        scores=scores,
        totals=totals,
        sums_consistent=consistent,
        answer_matches_totals=verdict is higher,
        reasoning=reasoning,
    )


def _categories(
    value: dict[str, Any], noun: str
) -> Iterator[tuple[str, dict[str, tuple[float, float]], Preference | FailureKind]]:
    """Name, readable scores by dimension, and winner of each category."""
    categories = value.get("categories")
    for category in categories if isinstance(categories, list) else []:
        if not isinstance(category, dict):
            continue
        dimensions = category.get("dims")
        pairs = {
            str(dimension.get("name", "")).lower(): (float(dimension["score_1"]), float(dimension["score_2"]))
            for dimension in (dimensions if isinstance(dimensions, list) else [])
            if isinstance(dimension, dict) and all(_is_score(dimension.get(name)) for name in ("score_1", "score_2"))
        }
        if pairs:
            yield str(category.get("name", "")).lower(), pairs, _winner(category.get("cat_winner"), noun)


def _winner(stated: Any, noun: str) -> Preference | FailureKind:
    words = str(stated).lower().split() if isinstance(stated, str) else []
    if len(words) != 2 or words[1] not in ("1", "2"):
        return FailureKind.UNREADABLE_ANSWER
    if words[0] != noun.lower():
        return FailureKind.WRONG_NOUN
    return Preference.FIRST if words[1] == "1" else Preference.SECOND


def _is_score(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _HIGHEST


def _means(scores: dict[str, tuple[float, float]]) -> tuple[float, float]:
    first, second = zip(*scores.values(), strict=True)
    return sum(first) / len(first), sum(second) / len(second)
