"""Judges against each other on the same pairs: how often each is right and steady, and how much more than the first of
them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from urt_core import Dialect
from urt_core.bench.rates import Rate
from urt_core.bench.table import Table
from urt_core.bench.tables import percent, percent_with_interval
from urt_core.comparison import Order
from urt_core.errors import DataError
from urt_core.judging.pairs import JudgedPair
from urt_core.metrics import paired_bootstrap

COLUMNS = ("judge", "pairs", "right", "more right than", "same candidate in both orders", "steadier than", "readable")


class Outcomes(NamedTuple):
    """What each pair came to, in the same order for all judges: Outcomes(right=[True, ...], steady=[...],
    readable=[...])"""

    right: list[bool]
    """In the given order; unreadable is wrong. Pairs labelled as ties are left out."""
    steady: list[bool]
    """The same candidate wins in both orders; a pair that is unreadable in one of them is not steady."""
    readable: list[bool]


def comparison_table(runs: Mapping[str, Sequence[Sequence[JudgedPair]]], *, dialect: Dialect) -> Table:
    """Judges by name, each with the judged pairs of one or more runs (seeds), which are pooled; the first is what the
    others are compared with. Differences are in points, over the same pairs, with 95 % bootstrap intervals over pairs:
    what another seed of the training would change is only in them as far as the runs pooled here show it.
    """
    (baseline, *_), outcomes = runs, {}
    expected: list[object] | None = None
    for name, judged_runs in runs.items():
        keys, outcomes[name] = _outcomes(judged_runs, dialect)
        if expected is not None and keys != expected:
            raise DataError(f"{name} and {baseline} have not judged the same pairs; allowed: runs over the same splits")
        expected = keys
    first = outcomes[baseline]
    rows = []
    for name, found in outcomes.items():
        right, steady = Rate.of(found.right), Rate.of(found.steady)
        is_first = name == baseline
        rows.append(
            (
                name,
                str(right.n),
                percent_with_interval(right),
                "" if is_first else _points(found.right, first.right),
                percent_with_interval(steady),
                "" if is_first else _points(found.steady, first.steady),
                percent(Rate.of(found.readable)),
            )
        )
    columns = tuple(f"{column} {baseline}" if column.endswith("than") else column for column in COLUMNS)
    return Table(title=f"Dialect {dialect}", columns=columns, rows=tuple(rows))


def _outcomes(runs: Sequence[Sequence[JudgedPair]], dialect: Dialect) -> tuple[list[object], Outcomes]:
    keys: list[object] = []
    outcomes = Outcomes([], [], [])
    for number, judged in enumerate(runs):
        asked = [pair for pair in judged if pair.dialect is dialect and pair.correct is not None]
        swapped = {pair.key: pair for pair in asked if pair.order is Order.SWAPPED}
        for pair in sorted((pair for pair in asked if pair.order is Order.GIVEN), key=lambda pair: pair.key):
            other = swapped.get(pair.key)
            keys.append((number, pair.key))
            outcomes.right.append(bool(pair.correct))
            outcomes.readable.append(pair.failure is None)
            outcomes.steady.append(
                other is not None and None not in (pair.verdict, other.verdict) and pair.correct == other.correct
            )
    return keys, outcomes


def _points(one: Sequence[bool], other: Sequence[bool]) -> str:
    found = paired_bootstrap(one, other)
    return f"{100 * found.difference:+.1f} ({100 * found.low:+.1f} to {100 * found.high:+.1f})"
