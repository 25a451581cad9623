"""One table in every format, with cells that would break one."""

import csv
import io
import xml.etree.ElementTree as xml

import pytest
from rich.console import Console

from urt_core.bench.table import FORMATS, Table, page

HOSTILE = ("a|b\n<c> & 50 % of {x}_1 ~ ^ \\", "=1+1", "-3.5", "+HYPERLINK()", "–")
TABLE = Table(title="Right & <wrong>", columns=("judge", "a", "b", "c", "d"), rows=(HOSTILE,), notes=("5 % off",))


def test_markdown_keeps_a_cell_in_its_column() -> None:
    lines = TABLE.markdown().splitlines()
    assert lines[0] == "### Right & <wrong>"
    assert lines[3] == "| --- | ---: | ---: | ---: | ---: |"
    assert lines[4] == "| a\\|b &lt;c> & 50 % of {x}_1 ~ ^ \\ | =1+1 | -3.5 | +HYPERLINK() | – |"
    assert lines[-1] == "- 5 % off"


def test_csv_comes_back_and_no_spreadsheet_runs_it() -> None:
    head, row = csv.reader(io.StringIO(TABLE.csv()))
    assert tuple(head) == TABLE.columns
    assert row == [HOSTILE[0], "'=1+1", "-3.5", "'+HYPERLINK()", "–"]


def test_latex_escapes_what_is_special() -> None:
    text = TABLE.latex()
    assert r"\caption{Right \& <wrong>. 5 \% off}" in text
    assert r"\& 50 \% of \{x\}\_1 \textasciitilde{} \textasciicircum{} \textbackslash{} & =1+1 & -3.5" in text
    assert r"\begin{tabular}{lrrrr}" in text
    assert text.splitlines()[-3] == r"\bottomrule"


def test_html_shows_every_cell_as_text() -> None:
    figure = xml.fromstring(TABLE.html())
    assert [cell.text for cell in figure.iter("td")] == list(HOSTILE)
    assert figure.findtext("figcaption") == TABLE.title
    assert [note.text for note in figure.iter("li")] == ["5 % off"]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_all_tables(form: str) -> None:
    other = Table(title="Other", columns=("judge", "right"), rows=(("it", "52.0"),))
    text = FORMATS[form]("A page", [TABLE, other])
    assert text.index("HYPERLINK") < text.index("52.0")


def test_a_page_needs_nothing_beside_it() -> None:
    text = page("5 < 6", [TABLE])
    assert "<title>5 &lt; 6</title>" in text
    assert "http" not in text
    assert "src=" not in text


def test_square_brackets_are_no_markup_on_a_console() -> None:
    console = Console(width=60, file=io.StringIO(), highlight=False)
    console.print(Table(title="[b]t[/b]", columns=("a", "b"), rows=(("[red]x[/red]", "1"),)).console())
    shown = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "[b]t[/b]" in shown
    assert "[red]x[/red]" in shown
