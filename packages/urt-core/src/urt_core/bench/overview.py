"""Several judges side by side: one row each, the rule's numbers with intervals, how the judge behaves, and paired
tests."""

import math
from collections.abc import Mapping, Sequence

from urt_core.bench.result import BenchResult
from urt_core.bench.table import Table
from urt_core.errors import DataError
from urt_core.metrics import mcnemar, paired_difference

BEHAVIOUR = {
    "mean_of_orders": "mean of both orders",
    "first_picked": "first picked",
    "position_consistency": "same in both orders",
    "consistent_of_decided": "same, of decided",
    "tied_in_both_orders": "tied in both",
    "tied_in_one_order": "tied in one",
    "unreadable": "unreadable",
}


def result_table(results: Mapping[str, BenchResult]) -> Table:
    """One row per judge: the rule's own numbers with 95 % intervals, and the counts behind them."""
    first = same_rule(results)
    names = list(dict.fromkeys(name for result in results.values() for name in result.own))
    rows = [
        (
            judge,
            *(with_interval(result, name) for name in names),
            f"{result.n_total:,}",
            f"{result.n_scored:,}",
            f"{result.n_failed:,}",
        )
        for judge, result in results.items()
    ]
    return Table(
        title=f"{first.benchmark}, rule {first.rule}: {first.wording}",
        columns=("judge", *names, "n_total", "n_scored", "n_failed"),
        rows=tuple(rows),
        notes=(
            "In percent, with the 95 % interval in brackets, clustered by item; unreadable output counts as the rule says.",
            *(f"{judge}: {note}" for judge, result in results.items() for note in result.notes),
        ),
    )


def behaviour_table(results: Mapping[str, BenchResult]) -> Table:
    names = [name for name in BEHAVIOUR if any(name in result.values for result in results.values())]
    return Table(
        title="How the judges behave, whatever the rule",
        columns=("judge", *(BEHAVIOUR[name] for name in names)),
        rows=tuple((judge, *(percent(result, name) for name in names)) for judge, result in results.items()),
        notes=(
            "same in both orders: of all pairs, decided for the same candidate in both; same, of decided: of those that both orders decide. "
            "first picked: of decided verdicts, 50 % is unbiased.",
        ),
    )


def paired_table(results: Mapping[str, BenchResult]) -> Table:
    """Every judge against the first of them, on the items that all of them have."""
    first = same_rule(results)
    (baseline, base), *others = results.items()
    if not others:
        raise DataError(f"{baseline} alone can't be compared; name two or more judges")
    rows = []
    for judge, result in others:
        if result.by_item.keys() != base.by_item.keys():
            missing = len(base.by_item.keys() ^ result.by_item.keys())
            raise DataError(
                f"{judge} and {baseline} have not judged the same items ({missing:,} are in one of them only); "
                "run both on the same set, or finish the one that was stopped"
            )
        pairs = [(result.by_item[item], base.by_item[item]) for item in base.by_item]
        found = paired_difference(pairs)
        rows.append(
            (
                judge,
                f"{100 * found.difference:+.2f}",
                f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
                f"{found.n:,}",
                *_exact(pairs),
            )
        )
    return Table(
        title=f"More right than {baseline}, on the same items ({first.benchmark}, {first.rule})",
        columns=(
            "judge",
            "difference, points",
            "95 % interval",
            "items",
            "only it right",
            f"only {baseline} right",
            "p (McNemar)",
        ),
        rows=tuple(rows),
        notes=(
            "The interval is of the paired difference, clustered by item; McNemar's exact test needs one verdict per item.",
        ),
    )


def _exact(pairs: Sequence[tuple[tuple[int, int], tuple[int, int]]]) -> tuple[str, str, str]:
    if any(n != 1 or m != 1 for (_, n), (_, m) in pairs):
        return "–", "–", "–"
    test = mcnemar([bool(right) for (right, _), _ in pairs], [bool(right) for _, (right, _) in pairs])
    return str(test.n_only_a), str(test.n_only_b), f"{test.p_value:.2g}"


def same_rule(results: Mapping[str, BenchResult]) -> BenchResult:
    first = next(iter(results.values()))
    for judge, result in results.items():
        if (result.benchmark, result.rule) != (first.benchmark, first.rule):
            raise DataError(
                f"{judge} is scored by {result.benchmark}/{result.rule}, the first by {first.benchmark}/{first.rule}; "
                "numbers of different rules don't stand in one table: rescore them by one"
            )
    return first


def percent(result: BenchResult, name: str) -> str:
    value = result.values.get(name, math.nan)
    return "–" if math.isnan(value) else f"{value:.2f}"


def with_interval(result: BenchResult, name: str) -> str:
    if math.isnan(result.values.get(name, math.nan)):
        return "–"
    low, high = result.interval(name)
    return f"{percent(result, name)} ({low:.1f}–{high:.1f})"
