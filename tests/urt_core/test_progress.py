"""How far a batch is, on a terminal and in a log."""

import sys

import pytest

from urt_core.progress import Progress, duration


def test_progress_on_a_terminal_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress(total=4, done=1) as progress:
        progress.advance(failed=True, num_tokens=10)
        assert ", about " in progress.line
        progress.say("note")
    printed = capsys.readouterr().err
    assert printed.count("\n") == 2
    assert "2/4, 1 failed, " in printed.split("\r\x1b[2K")[-1]
    assert [duration(seconds) for seconds in (42.4, 420, 12_600)] == ["42 s", "7 min", "3.5 h"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (42, "42 s"), (99.4, "99 s"), (100, "2 min"), (420, "7 min"), (5999, "100 min"), (12_600, "3.5 h")],
)
def test_a_duration_is_said_as_a_person_says_it(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_the_rate_is_of_what_this_run_has_asked(monkeypatch) -> None:
    clock = iter([0.0, 1.0, 2.0, 10.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr("urt_core.progress.time.monotonic", lambda: next(clock))
    with Progress(total=100, done=60) as progress:
        progress.advance(failed=False, num_tokens=300)
        progress.advance(failed=True, num_tokens=200)
        # At 10 s: 500 tokens in 10 s, two of forty left to ask took 10 s.
        assert progress.line == "62/100, 1 failed, 50 tokens/s, about 3 min left"
