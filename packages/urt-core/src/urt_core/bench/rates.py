"""Judged pairs in, rates out: what share was readable, right, consistent; per dialect, task and cause, with
intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from urt_core import Dialect, Preference, Task
from urt_core.bench.saved import known_fields
from urt_core.comparison import Order
from urt_core.errors import DataError, RecordError
from urt_core.judging.pairs import JudgedPair
from urt_core.metrics import PairwiseAccuracy, pairwise_accuracy, position_consistency, wilson_interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A share of a count: Rate(successes=88, n=100).value == 0.88, .interval == (0.802, 0.930)."""

    successes: int
    n: int

    @classmethod
    def of(cls, outcomes: Iterable[bool]) -> Rate:
        outcomes = list(outcomes)
        return cls(successes=sum(outcomes), n=len(outcomes))

    @property
    def value(self) -> float | None:
        """None where nothing was counted: no share is not a share of zero."""
        return self.successes / self.n if self.n else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson score interval (Wilson 1927), which stays inside [0, 1] also at 0 % and 100 %."""
        return wilson_interval(self.successes, self.n) if self.n else None

    def to_json(self) -> dict[str, object]:
        return {"value": self.value, "interval": self.interval, "successes": self.successes, "n": self.n}

    @classmethod
    def from_json(cls, value: Mapping, *, path: Path) -> Rate:
        """`value` and `interval`, which a result shows beside the counts, follow from them."""
        counts = {name: found for name, found in value.items() if name not in ("value", "interval")}
        return cls(**known_fields(cls, counts, path=path))


NOT_MEASURED = Rate(successes=0, n=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationRow:
    """One task (or all), one dialect, and within it one cause (or all).

    EvaluationRow(dialect=Dialect.V1, task=Task.IMAGE_GENERATION, cause=None, n_total=100, n_scored=100, n_failed=1,
                  parse_rate=Rate(successes=99, n=100), accuracy=Rate(successes=93, n=100), ...)
    """

    dialect: Dialect
    task: Task | None
    """None: all tasks together, every pair with the same weight."""
    cause: str | None
    """None: all causes together."""
    n_total: int
    """Pairs in the denominator of accuracy: judged in the given order, labelled other than tie."""
    n_scored: int
    """Of these, pairs with a readable verdict."""
    n_failed: int
    """The rest: they count as wrong."""
    parse_rate: Rate
    """Judgements in the given order that could be read, pairs labelled as ties included."""
    accuracy: Rate
    accuracy_swapped: Rate = NOT_MEASURED
    position_consistency: Rate = NOT_MEASURED
    """Same candidate preferred in both orders, out of the pairs readable in both."""
    first_pick: Rate = NOT_MEASURED
    """The candidate shown first was preferred, out of the decisive verdicts in all orders judged; half is unbiased."""
    consistent_sums: Rate = NOT_MEASURED
    """The stated sums add up, out of the judgements whose sums could be checked."""
    verdict_follows_totals: Rate = NOT_MEASURED
    """The candidate with the larger stated total wins, out of the judgements that state totals."""
    mean_tokens: float | None = None
    """None in results of before it was counted."""

    def to_json(self) -> dict[str, object]:
        return {
            name: value.to_json() if isinstance(value := getattr(self, name), Rate) else value
            for name in self.__slots__
        }

    @classmethod
    def from_json(cls, value: Mapping, *, path: Path) -> EvaluationRow:
        """Reads what any earlier version has saved in `path`: what it did not measure is missing here."""
        fields = known_fields(cls, value, path=path)
        read = {
            name: Rate.from_json(value, path=path) if isinstance(value, Mapping) else value
            for name, value in fields.items()
        }
        try:
            dialect, task = Dialect(fields["dialect"]), None if fields["task"] is None else Task(fields["task"])
        except (ValueError, RecordError) as error:
            raise DataError(f"{path}: {error}; name its contract first, or update urt-core") from error
        return cls(**{**read, "dialect": dialect, "task": task})


def rows_per_task(judged: Sequence[JudgedPair]) -> tuple[EvaluationRow, ...]:
    """Dialects in the order they were judged; in each, the tasks in the order of `Task`, then all tasks together."""
    present = {pair.task for pair in judged}
    tasks: list[Task | None] = [task for task in Task if task in present]
    return tuple(
        _row(
            [pair for pair in judged if pair.dialect is dialect and task in (None, pair.task)],
            dialect=dialect,
            task=task,
        )
        for dialect in dict.fromkeys(pair.dialect for pair in judged)
        for task in [*tasks, None]
    )


def rows_per_cause(judged: Sequence[JudgedPair]) -> tuple[EvaluationRow, ...]:
    groups: dict[tuple[Dialect, Task, str], list[JudgedPair]] = {}
    for pair in judged:
        groups.setdefault((pair.dialect, pair.task, pair.cause), []).append(pair)
    return tuple(
        _row(groups[dialect, task, cause], dialect=dialect, task=task, cause=cause)
        for dialect, task, cause in sorted(groups, key=lambda group: (group[0], list(Task).index(group[1]), group[2]))
    )


def _row(
    pairs: Sequence[JudgedPair], *, dialect: Dialect, task: Task | None, cause: str | None = None
) -> EvaluationRow:
    given = [pair for pair in pairs if pair.order is Order.GIVEN]
    swapped = [pair for pair in pairs if pair.order is Order.SWAPPED]
    headline, exchanged = _accuracy(given), _accuracy(swapped)
    return EvaluationRow(
        dialect=dialect,
        task=task,
        cause=cause,
        n_total=headline.n_total,
        n_scored=headline.n_scored,
        n_failed=headline.n_failed,
        parse_rate=Rate.of(pair.failure is None for pair in given),
        accuracy=Rate(successes=headline.n_correct, n=headline.n_total),
        accuracy_swapped=Rate(successes=exchanged.n_correct, n=exchanged.n_total),
        position_consistency=_consistency(given, swapped),
        first_pick=Rate.of(
            pair.verdict is Preference.FIRST for pair in pairs if pair.verdict in (Preference.FIRST, Preference.SECOND)
        ),
        consistent_sums=Rate.of(pair.sums_consistent for pair in given if pair.sums_consistent is not None),
        verdict_follows_totals=Rate.of(
            pair.answer_matches_totals for pair in given if pair.answer_matches_totals is not None
        ),
        mean_tokens=fmean(pair.num_tokens for pair in given) if given else 0.0,
    )


def _accuracy(pairs: Sequence[JudgedPair]) -> PairwiseAccuracy:
    known = [(pair.verdict, pair.label) for pair in pairs if pair.label is not None]
    return pairwise_accuracy([verdict for verdict, _ in known], [label for _, label in known], ties="exclude")


def _consistency(given: Sequence[JudgedPair], swapped: Sequence[JudgedPair]) -> Rate:
    other = {pair.key: pair.verdict for pair in swapped}
    both = [pair for pair in given if pair.key in other]
    measured = position_consistency([pair.verdict for pair in both], [other[pair.key] for pair in both])
    if not measured.n_scored:
        return Rate(successes=0, n=0)
    return Rate(successes=round(measured.consistency * measured.n_scored), n=measured.n_scored)
