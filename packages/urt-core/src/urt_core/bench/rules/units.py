"""One pair under one rule: the units that count by themselves, and what each came to."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from typing import NamedTuple

from urt_core.bench.rules.pairs import Outcome, PairVerdicts, Verdicts
from urt_core.bench.rules.rule import Rule
from urt_core.errors import DataError
from urt_core.metrics import threshold_accuracy


class Unit(Enum):
    """What a judgement (or the judgements of a pair together) is worth."""

    RIGHT = auto()
    WRONG = auto()
    UNREADABLE = auto()
    LEFT_OUT = auto()
    """A tie that the rule does not look at."""


def majority(verdicts: Verdicts) -> Outcome | None:
    """The side with more votes; a tie where they are even, of the kind that most ties have. None where nothing could be
    read."""
    readable = [verdict for verdict in verdicts if verdict is not None]
    if len(readable) == 1:
        return readable[0]
    if not readable:
        return None
    first, second = readable.count(Outcome.FIRST), readable.count(Outcome.SECOND)
    if first != second:
        return Outcome.FIRST if first > second else Outcome.SECOND
    kinds = Counter(verdict for verdict in readable if not verdict.is_decisive).most_common(1)
    return kinds[0][0] if kinds else Outcome.TIE


def units_of(pair: PairVerdicts, rule: Rule) -> Iterator[Unit]:
    """By the verdicts, in the way of `Rule.orders`."""
    swapped = () if rule.only_given else pair.swapped
    if rule.orders == "pooled":
        yield unit(majority(pair.given + swapped), pair.label, rule)
        return
    shown = [majority(order) for order in (pair.given, swapped) if order]
    units = [unit(verdict, pair.label, rule) for verdict in shown]
    if rule.orders == "each":
        yield from units
    elif rule.orders == "both":
        is_right = all(found is Unit.RIGHT for found in units)
        yield Unit.UNREADABLE if Unit.UNREADABLE in units else Unit.RIGHT if is_right else Unit.WRONG
    elif all(verdict is None for verdict in shown):
        yield Unit.UNREADABLE
    else:
        points = {pair.label: 1, pair.label.swap(): -1}
        total = sum(points.get(verdict, 0) for verdict in shown if verdict is not None)
        yield Unit.RIGHT if total > 0 else Unit.WRONG


def unit(verdict: Outcome | None, label: Outcome, rule: Rule) -> Unit:
    if verdict is None:
        return Unit.UNREADABLE
    if label.is_decisive and not verdict.is_decisive and rule.predicted_ties == "left_out":
        return Unit.LEFT_OUT
    return Unit.RIGHT if is_right(verdict, label, rule) else Unit.WRONG


def is_right(verdict: Outcome, label: Outcome, rule: Rule) -> bool:
    if label.is_decisive or verdict.is_decisive:
        return verdict is label
    return rule.ties == "one" or verdict is label or verdict is Outcome.TIE


class Threshold(NamedTuple):
    """Threshold(value=0.5, accuracy=None): margins of at most 0.5 are ties."""

    value: float
    accuracy: float | None
    """Of the `compat` sweep, which stands for no threshold that exists."""


def find_threshold(pairs: Sequence[PairVerdicts], rule: Rule) -> Threshold:
    margins = [pair.margin for pair in pairs]
    if pairs and all(margin is None for margin in margins):
        raise DataError(
            f"rule {rule.name!r} makes verdicts from margins, and no line has scores of both candidates; use a rule that reads verdicts"
        )
    if isinstance(rule.threshold, float):
        return Threshold(rule.threshold, None)
    mode = "distinct" if rule.threshold == "best" else "compat"
    found = threshold_accuracy(margins, [pair.label.preference for pair in pairs], mode=mode)
    return Threshold(found.threshold, found.accuracy if mode == "compat" else None)


def verdict_by_margin(margin: float | None, threshold: float) -> Outcome | None:
    if margin is None or math.isnan(margin):
        return None
    if abs(margin) <= threshold:
        return Outcome.TIE
    return Outcome.FIRST if margin > 0 else Outcome.SECOND
