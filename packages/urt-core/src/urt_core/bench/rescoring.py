"""Lines in, numbers out: any rule over what a judge has said, without the judge."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from urt_core.bench.result import BenchResult
from urt_core.bench.rules.catalogue import ALIASES, BENCHMARKS
from urt_core.bench.rules.counting import Counted, Value, count_pairs, count_positions
from urt_core.bench.rules.lists import count_lists
from urt_core.bench.rules.pairs import Outcome, Reading, gather
from urt_core.bench.rules.rule import Benchmark, Rule
from urt_core.bench.shapes import Line, readings
from urt_core.errors import ConfigError, DataError


def find_benchmark(name: str) -> Benchmark:
    found = BENCHMARKS.get(ALIASES.get(name, name))
    if found is None:
        raise ConfigError(f"benchmark is {name!r}; allowed: {', '.join(BENCHMARKS)}")
    return found


def rescore(
    lines: Iterable[Line],
    *,
    benchmark: str,
    rule: str = "official",
    shape: str | None = None,
    threshold: float | None = None,
    expected: int | None = None,
) -> BenchResult:
    """The numbers of `rule` over `lines`: judgements as `urt bench run` logs them, or a published shape (found by its
    fields where `shape` does not name it). Streams: only the outcome of a line is kept.

        rescore(lines, benchmark="genai_bench", rule="four_way").values["accuracy"]     # 45.59...

    `threshold` takes the place of the rule's own; `expected` is the number of pairs there should be, where the caller
    knows it. Raises `DataError` for lines that repeat, that are of another shape, or that lack a label the rule needs.
    """
    return rescore_numbered(
        enumerate(lines, start=1), benchmark=benchmark, rule=rule, shape=shape, threshold=threshold, expected=expected
    )


def rescore_numbered(
    lines: Iterable[tuple[int, Line]],
    *,
    source: str = "",
    benchmark: str,
    rule: str = "official",
    shape: str | None = None,
    threshold: float | None = None,
    expected: int | None = None,
) -> BenchResult:
    """As `rescore`, of lines with their numbers in `source`, which errors name."""
    chosen = find_benchmark(benchmark)
    how = chosen.rule(rule)
    if threshold is not None:
        how = with_threshold(how, threshold)
    found = readings(lines, source=source, shape=shape, benchmark=chosen)
    if chosen.kind == "lists":
        lists = [reading for _, reading in found]
        counted, behaviour, num = count_lists(lists, how), {}, len(lists)
    else:
        pairs = gather(with_labels(found, how))
        if how.labels == "decisive" and pairs and not any(pair.label.is_decisive for pair in pairs):
            raise DataError(
                f"{source or 'the lines'}: every label is a tie, and rule {how.name!r} counts pairs with a better candidate; use a rule with ties"
            )
        counted, behaviour, num = count_pairs(pairs, how), count_positions(pairs), len(pairs)
    if not num:
        raise DataError(
            f"{source or 'the input'} holds no lines; name the file of judgements that `urt bench run` has written, or a published one"
        )
    is_complete, notes = completeness(chosen, num, expected)
    if how.is_error:
        notes = (*notes, f"{how.name} is a common mistake: {how.is_error}")
    return as_result(counted, behaviour, benchmark=chosen, rule=how, notes=notes, is_complete=is_complete)


def as_result(
    counted: Counted,
    behaviour: Mapping[str, Value],
    *,
    benchmark: Benchmark,
    rule: Rule,
    notes: tuple[str, ...],
    is_complete: bool | None,
) -> BenchResult:
    every = counted.values | {name: value for name, value in behaviour.items() if name not in counted.values}
    return BenchResult(
        benchmark=benchmark.name,
        rule=rule.name,
        wording=rule.wording,
        values={name: value.percent for name, value in every.items()},
        own=tuple(counted.values),
        intervals={name: (value.low, value.high) for name, value in every.items()},
        n_of={name: value.n for name, value in every.items()},
        n_total=counted.n_total,
        n_scored=counted.n_total - counted.n_failed,
        n_failed=counted.n_failed,
        threshold=counted.threshold,
        notes=notes,
        is_complete=is_complete,
        by_item=counted.by_item,
    )


def with_threshold(rule: Rule, threshold: float) -> Rule:
    if not isinstance(rule.threshold, float):
        raise ConfigError(f"rule {rule.name!r} takes no threshold of the caller's; leave --threshold out")
    if not 0 <= threshold < math.inf:
        raise ConfigError(f"threshold is {threshold}; it must be 0 or a positive number")
    return replace(rule, threshold=float(threshold))


def with_labels(found: Iterable[tuple[str, Reading]], rule: Rule) -> Iterator[tuple[str, Reading]]:
    """The readings, each checked for the label that the rule needs."""
    for where, reading in found:
        if rule.ties == "four" and reading.label is Outcome.TIE:
            raise DataError(
                f"{where}: is labelled a tie without saying of which kind, and rule {rule.name!r} tells both good from both bad; "
                "use tau or diff, or records with metadata tie_kind"
            )
        yield where, reading


def completeness(benchmark: Benchmark, num: int, expected: int | None) -> tuple[bool | None, tuple[str, ...]]:
    kind = "lists" if benchmark.kind == "lists" else "pairs"
    notes = ()
    if expected is not None and num != expected:
        notes = (f"INCOMPLETE: {num:,} of {expected:,} {kind} are judged; run the same command again to finish it",)
    elif benchmark.sizes and num not in benchmark.sizes.values():
        named = ", ".join(f"{size:,} ({part})" for part, size in benchmark.sizes.items())
        notes = (f"INCOMPLETE or another set: {num:,} {kind} found, {named} expected",)
    elif expected is None and not benchmark.sizes:
        return None, ()
    return not notes, notes
