"""The bar where it can be drawn, and the line in its place where it can't."""

import io
import re

import pytest
from rich.console import Console

from urt_core import progress_bar as module
from urt_core.progress_bar import ProgressBar


def shown(*, is_terminal: bool, total: int | None) -> str:
    file = io.StringIO()
    with ProgressBar(Console(file=file, force_terminal=is_terminal, width=100)) as progress:
        task = progress.add_task("judging", total=total, note="")
        for number in range(3):
            progress.update(task, advance=1, note=f"right {number}/3 [of] all")
        return file.getvalue()


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(is_terminal=False, total=4) == "", "the first after 30 s"
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    first, second, third = shown(is_terminal=False, total=4).splitlines()
    assert first == "judging: 1/4, right 0/3 [of] all"
    assert re.fullmatch(r"judging: 2/4, right 1/3 \[of\] all, about \d s left", second)
    assert third.startswith("judging: 3/4, right 2/3 [of] all, about ")
    assert shown(is_terminal=False, total=None).splitlines()[2] == "judging: 3, right 2/3 [of] all"


def test_a_terminal_gets_the_bar_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_EVERY_S", 0.0)
    assert "judging: " not in shown(is_terminal=True, total=4)
