"""Text for a terminal: judged text moves no cursor, columns line up, colours only where there is a terminal."""

import pytest

from urt_core.cli import terminal
from urt_core.cli.terminal import Style, shortened, shown, styled, table, wrapped


def test_control_characters_are_not_sent() -> None:
    assert shown("a\x1b[2Jb\r\nc\td\x9b") == "a\ufffd[2Jb\nc\td\ufffd"


def test_colours_need_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert styled("good", Style.GOOD) == "good"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert styled("good", Style.GOOD) == "\x1b[1;32mgood\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert styled("good", Style.GOOD) == "good"


def test_columns_line_up_and_the_first_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "width", lambda: 24)
    lines = table([["name", "a", "bb"], ["a/very/long/name.png", "1", "22.5"], ["b", "10", "3"]]).split("\n")
    assert max(map(len, lines)) <= 24
    assert lines[1].startswith("\u2026")
    assert [line[-4:] for line in lines] == ["  bb", "22.5", "   3"]


def test_long_lines_are_wrapped_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "width", lambda: 20)
    found = wrapped("one two three four five six\nseven", indent="  ")
    assert found == "  one two three four\n  five six\n  seven"


def test_the_end_of_a_name_is_kept() -> None:
    assert shortened("folder/one.png", 8) == "\u2026one.png"
    assert shortened("one.png", 8) == "one.png"
