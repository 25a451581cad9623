"""Plain text for a terminal: colours where there is one, columns that line up, long text wrapped and indented.

By hand, because the base install has no room for a library that brings a syntax highlighter along.
"""

import os
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from enum import StrEnum

# What is not shown as it is: a judged text must not move the cursor, recolour or clear the reader's terminal.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Style(StrEnum):
    BOLD = "1"
    DIM = "2"
    GOOD = "1;32"
    BAD = "1;31"


def styled(text: str, style: Style) -> str:
    """`text` in a colour, where standard output is a terminal and NO_COLOR (https://no-color.org) is not set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{style}m{text}\x1b[0m"


def shown(text: str) -> str:
    """`text` without control characters."""
    return CONTROL.sub("�", text.replace("\r\n", "\n"))


def width() -> int:
    """Of the terminal, at most 100: longer lines are hard to read."""
    return min(100, shutil.get_terminal_size().columns)


def wrapped(text: str, *, indent: str = "") -> str:
    """`text` in lines that fit, each of its own lines by itself."""
    room = max(20, width())
    lines = [
        piece
        for line in shown(text).split("\n")
        for piece in textwrap.wrap(line, room, initial_indent=indent, subsequent_indent=indent) or [indent.rstrip()]
    ]
    return "\n".join(lines)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell, numbers to the right of the first column. The first row holds the
    headings."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    # The first column gives way where the terminal is narrow.
    widths[0] = max(8, min(widths[0], width() - sum(widths[1:]) - 2 * (len(widths) - 1)))
    lines = [
        "  ".join(
            [f"{shortened(row[0], widths[0]):<{widths[0]}}"]
            + [f"{cell:>{room}}" for cell, room in zip(row[1:], widths[1:], strict=True)]
        ).rstrip()
        for row in rows
    ]
    return "\n".join([styled(lines[0], Style.DIM), *lines[1:]])


def shortened(text: str, room: int) -> str:
    """The end tells file names apart, so the beginning is left out."""
    text = " ".join(shown(text).split())
    return text if len(text) <= room else "…" + text[1 - room :]
