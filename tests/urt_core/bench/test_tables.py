"""Tables of an evaluation: what was measured, hostile causes as text, 80 columns."""

import io

from rich.console import Console

from tests.urt_core.bench.judged import judgement, pair, run
from urt_core import Dialect
from urt_core.bench.tables import brief_table, evaluation_tables, markdown_page, print_tables, stage_tables


def test_tables_name_what_was_measured_and_hold_hostile_causes():
    hostile = "[bold]x[/bold] | <script>alert(1)</script>\n| y"
    records = [pair(0, cause=hostile), pair(1)]
    result = run([judgement(1), "what?"], records, dialects=[Dialect.V1], orders="given")
    page = markdown_page("Evaluation", evaluation_tables(result), introduction="Two pairs.")
    assert "| All tasks | 2 | 50.0 % (9.5–90.5) | – |" in page
    assert "| Image generation | v1 | no_answer | 1 |" in page
    assert "<script>" not in page
    assert "[bold]x[/bold] \\| &lt;script>alert(1)&lt;/script> \\| y" in page
    screen = Console(file=io.StringIO(), width=200)
    for table in evaluation_tables(result):
        screen.print(table.console())
    assert "[bold]x[/bold]" in screen.file.getvalue()  # type: ignore[attr-defined]


def test_stage_table_has_a_column_per_stage_and_a_dash_where_nothing_was_measured():
    both = run(
        lambda prompt, index: "Image 1 is better." if prompt.dialect is Dialect.DIRECT else judgement(1),
        [pair(n) for n in range(4)],
        orders="given",
    )
    one = run(lambda prompt, index: judgement(2), [pair(n) for n in range(4)], dialects=[Dialect.V1], orders="given")
    with_reasoning, direct = stage_tables({"Base": one, "GRPO": both}).accuracy
    assert with_reasoning.columns == ("after stage", "Base", "GRPO")
    assert [row[0] for row in with_reasoning.rows] == ["Image generation", "All tasks"]
    assert with_reasoning.rows[-1][1].startswith("0.0 % (0.0–")
    assert with_reasoning.rows[-1][2].startswith("100.0 % (")
    assert direct.rows[-1][1] == "–"


def test_every_table_fits_a_terminal_of_80_columns():
    """No cell is cut: rich would mark that with an ellipsis."""
    result = run(lambda prompt, index: judgement(1), [pair(n, cause="a long cause, in words") for n in range(100)])
    names: list[str] = ["base", "cold_start", "rejection_sampling", "grpo"]
    stages = dict.fromkeys(names, result)
    screen = Console(file=io.StringIO(), width=80)
    print_tables(
        [
            *evaluation_tables(result),
            *stage_tables(stages).accuracy,
            *stage_tables(stages).behaviour,
            brief_table("Right", result),
        ],
        console=screen,
    )
    assert "…" not in screen.file.getvalue()  # type: ignore[attr-defined]
