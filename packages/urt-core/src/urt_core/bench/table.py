"""One description of a table, printed as Markdown, CSV, LaTeX, HTML or on a console."""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import rich.table

SUM_ROWS = ("All tasks", "Everything")
LATEX_SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "–": "--", "±": r"$\pm$"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Table(title="Direct answer", columns=("task", "right"), rows=(("Image generation", "52.0 % (42.3–61.5)"),))"""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    """What a reader has to know, below the table."""

    def markdown(self) -> str:
        lines = [self.columns, ("---", *("---:" for _ in self.columns[1:])), *self.rows]
        table = "\n".join(f"| {' | '.join(map(_markdown_cell, cells))} |" for cells in lines)
        notes = "".join(f"\n- {_markdown_cell(note)}" for note in self.notes)
        return f"### {self.title}\n\n{table}\n" + (f"{notes}\n" if notes else "")

    def csv(self) -> str:
        """Without title and notes: a row of headings, then the rows."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.columns, *map(_csv_cells, self.rows)])
        return text.getvalue()

    def latex(self) -> str:
        """A booktabs table."""
        rows = [
            " & ".join(cell.translate(LATEX_SPECIAL) for cell in cells) + r" \\" for cells in (self.columns, *self.rows)
        ]
        caption = ". ".join([self.title, *self.notes]).translate(LATEX_SPECIAL)
        return "\n".join(
            [
                r"\begin{table}",
                rf"\caption{{{caption}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.columns) - 1)}}}",
                r"\toprule",
                rows[0],
                r"\midrule",
                *rows[1:],
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def html(self) -> str:
        """One `figure` with a table, for a page."""

        def row(cells: tuple[str, ...], tag: str) -> str:
            return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"

        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<figure><figcaption>{html.escape(self.title)}</figcaption><table><thead>{row(self.columns, 'th')}</thead>"
            f"<tbody>{''.join(row(cells, 'td') for cells in self.rows)}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + "</figure>\n"
        )

    def console(self) -> rich.table.Table:
        import rich.box
        import rich.table
        from rich.text import Text

        table = rich.table.Table(
            title=Text(self.title), title_justify="left", title_style="bold", box=rich.box.SIMPLE_HEAD
        )
        for number, column in enumerate(self.columns):
            cells = [column, *(row[number] for row in self.rows)]
            # In a narrow terminal cells are broken between words, not within.
            longest = max(len(word) for cell in cells for word in cell.split() or [""])
            table.add_column(Text(column), justify="right" if number else "left", min_width=min(longest, 24))
        for row in self.rows:
            # Text, not str: a cause or a stage name in square brackets must not become console markup.
            table.add_row(*(Text(cell) for cell in row), style="bold" if row[0] in SUM_ROWS else None)
        return table


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1c1e21 }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
th, td {{ padding: .35rem .8rem; border-bottom: 1px solid #dcdfe4; text-align: right }}
th:first-child, td:first-child {{ text-align: left }}
thead th {{ border-bottom: 2px solid #8a919e }}
figure {{ margin: 2rem 0; overflow-x: auto }} figcaption {{ font-weight: 600; margin-bottom: .5rem }}
</style></head><body><h1>{title}</h1>
{body}</body></html>
"""


def page(title: str, tables: list[Table]) -> str:
    """One HTML page that needs nothing beside it."""
    return PAGE.format(title=html.escape(title), body="".join(table.html() for table in tables))


def _in_a_row(render: Callable[[Table], str]) -> Callable[[str, list[Table]], str]:
    return lambda title, tables: "\n".join(map(render, tables))


FORMATS: Mapping[str, Callable[[str, list[Table]], str]] = {
    "markdown": _in_a_row(Table.markdown),
    "csv": _in_a_row(Table.csv),
    "latex": _in_a_row(Table.latex),
    "html": page,
}


def _csv_cells(cells: tuple[str, ...]) -> list[str]:
    """A spreadsheet would run what begins like a formula."""
    return [f"'{cell}" if cell[:1] in ("=", "+", "@", "\t", "\r") and not _is_number(cell) else cell for cell in cells]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _markdown_cell(cell: str) -> str:
    """A pipe or a line break in a cell would shift the columns; angle brackets would become HTML."""
    return " ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;")
