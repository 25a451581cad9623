"""Evaluation results in, tables out: one description of each table, printed as Markdown or on the console."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.console import Console

from urt_core import Dialect, Task
from urt_core.bench.evaluation import EvaluationResult
from urt_core.bench.phases import PhaseCost, duration, memory
from urt_core.bench.rates import EvaluationRow, Rate
from urt_core.bench.table import Table
from urt_core.comparison import Order
from urt_core.prompts.names import contract_of

LEGEND = (
    "*readable*: the judgement could be read. *right*: the verdict equals the label, in the order the pairs are given; "
    "unreadable counts as wrong; a coin would have 50 %. *right, swapped*: the same pairs with their candidates exchanged. "
    "*same in both orders*: the same candidate preferred either way. *first picked*: how often the candidate shown first is "
    "preferred (50 % is unbiased). *sums right*: the stated totals are the sums of the stated scores. *follows totals*: the candidate with the "
    "larger total gets the verdict. In brackets the 95 % interval (Wilson); *–* where there was nothing to count."
)


def task_title(task: Task | None) -> str:
    return "All tasks" if task is None else str(task).replace("_", " ").capitalize()


def percent(rate: Rate) -> str:
    return "–" if rate.value is None else f"{100 * rate.value:.1f} %"


def percent_with_interval(rate: Rate) -> str:
    if rate.interval is None:
        return "–"
    low, high = rate.interval
    return f"{percent(rate)} ({100 * low:.1f}–{100 * high:.1f})"


def evaluation_tables(result: EvaluationResult) -> list[Table]:
    """One table per dialect, one of the causes per dialect, and one of what could not be read where there is any."""
    tables = [table for dialect in result.dialects for table in _dialect_tables(result, dialect)]
    tables += [_cause_table(result, dialect) for dialect in result.dialects]
    if failures := _failure_rows(result):
        tables.append(
            Table(title="What could not be read", columns=("task", "dialect", "kind", "pairs"), rows=failures)
        )
    return tables


class StageTables(NamedTuple):
    """One table per dialect of each kind."""

    accuracy: list[Table]
    """Task x stage, right verdicts with their interval."""
    behaviour: list[Table]
    """Stage x what else the judgements are like."""


def stage_tables(results: Mapping[str, EvaluationResult]) -> StageTables:
    dialects = dict.fromkeys(dialect for result in results.values() for dialect in result.dialects)
    tasks = [task for task in [*Task, None] if any(row.task is task for r in results.values() for row in r.rows)]
    accuracy = [
        Table(
            title=f"Right verdicts on held-out pairs. {dialect_title(dialect)}",
            columns=("after stage", *results),
            rows=tuple(
                (task_title(task), *(_accuracy_cell(result, dialect, task) for result in results.values()))
                for task in tasks
            ),
        )
        for dialect in dialects
    ]
    behaviour = [
        Table(
            title=f"How it judges, all tasks. {dialect_title(dialect)}",
            columns=("after stage", *_BEHAVIOUR_COLUMNS),
            rows=tuple(
                (stage, *_behaviour_cells(result.row(dialect)))
                for stage, result in results.items()
                if dialect in result.dialects
            ),
        )
        for dialect in dialects
    ]
    return StageTables(accuracy, behaviour)


def brief_table(title: str, result: EvaluationResult) -> Table:
    """One row per task, one column per way of answering."""
    tasks = list(dict.fromkeys(row.task for row in result.rows))
    return Table(
        title=title,
        columns=("task", *(dialect_label(dialect) for dialect in result.dialects)),
        rows=tuple(
            (task_title(task), *(_accuracy_cell(result, dialect, task) for dialect in result.dialects))
            for task in tasks
        ),
    )


def cost_table(costs: Sequence[PhaseCost]) -> Table:
    total = sum(cost.seconds for cost in costs)
    rows = [(cost.title, duration(cost.seconds), memory(cost.peak_memory_bytes)) for cost in costs]
    if costs:
        rows.append(("Everything", duration(total), memory(max(cost.peak_memory_bytes for cost in costs))))
    return Table(title="Time and memory", columns=("phase", "time", "peak memory"), rows=tuple(rows))


def markdown_page(title: str, tables: Sequence[Table], *, introduction: str) -> str:
    return "\n".join([f"# {title}\n", introduction + "\n", *(table.markdown() for table in tables), LEGEND]) + "\n"


def print_tables(tables: Sequence[Table], *, console: Console) -> None:
    for table in tables:
        console.print(table.console())


_BEHAVIOUR_COLUMNS = ("readable", "same in both orders", "first picked", "sums right", "follows totals", "tokens")


def _dialect_tables(result: EvaluationResult, dialect: Dialect) -> list[Table]:
    """Two narrow tables, which fit a terminal of 80 columns as one wide table does not."""
    rows = [row for row in result.rows if row.dialect is dialect]
    accuracy = tuple(
        (
            task_title(row.task),
            str(row.n_total),
            percent_with_interval(row.accuracy),
            percent_with_interval(row.accuracy_swapped),
        )
        for row in rows
    )
    behaviour = tuple((task_title(row.task), *_behaviour_cells(row)) for row in rows)
    return [
        Table(title=dialect_title(dialect), columns=("task", "pairs", "right", "right, swapped"), rows=accuracy),
        Table(title=f"How it judges. {dialect_title(dialect)}", columns=("task", *_BEHAVIOUR_COLUMNS), rows=behaviour),
    ]


def _behaviour_cells(row: EvaluationRow) -> tuple[str, ...]:
    rates = (row.parse_rate, row.position_consistency, row.first_pick, row.consistent_sums, row.verdict_follows_totals)
    return *map(percent, rates), "–" if row.mean_tokens is None else f"{row.mean_tokens:.0f}"


def _cause_table(result: EvaluationResult, dialect: Dialect) -> Table:
    return Table(
        title=f"By what sets the candidates apart. {dialect_title(dialect)}",
        columns=("task", "cause", "pairs", "readable", "right", "same in both orders"),
        rows=tuple(
            (
                task_title(row.task),
                row.cause or "",
                str(row.n_total),
                percent(row.parse_rate),
                percent_with_interval(row.accuracy),
                percent(row.position_consistency),
            )
            for row in result.cause_rows
            if row.dialect is dialect
        ),
    )


def _failure_rows(result: EvaluationResult) -> tuple[tuple[str, ...], ...]:
    kinds = Counter(
        (pair.task, pair.dialect, pair.failure) for pair in result.judged if pair.failure and pair.order is Order.GIVEN
    )
    return tuple(
        (task_title(task), str(dialect), str(kind), str(count))
        for (task, dialect, kind), count in sorted(kinds.items())
    )


def _accuracy_cell(result: EvaluationResult, dialect: Dialect, task: Task | None) -> str:
    found = [row for row in result.rows if row.dialect is dialect and row.task is task]
    return percent_with_interval(found[0].accuracy) if found else "–"


def dialect_title(dialect: Dialect) -> str:
    return contract_of(dialect).title or str(dialect)


def dialect_label(dialect: Dialect) -> str:
    """Two or three words, for figures and columns."""
    return contract_of(dialect).label or dialect_title(dialect)
