"""Hand-written completions in the shapes models produce, each with what the parser must make of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from urt_core import Dialect, Judgement, ParseFailure, Task, parse_judgement

FOLDER = Path(__file__).parent / "cases"
ESCAPES = {"\\r": "\r", "\\t": "\t"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    name: str
    task: Task
    dialect: Dialect | None
    text: str
    expected: dict[str, str]


def read_cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.txt")):
        for block in path.read_text(encoding="utf-8").split("\n=== ")[1:]:
            head, rest = block.split("\n", 1)
            text, expectation = ("\n" + rest).rsplit("\n--> ", 1)
            name, task, dialect = (part.strip() for part in head.split("|"))
            verdict, *facts = (part.strip() for part in expectation.split("\n")[0].split(";"))
            expected = {"verdict": verdict} | dict(fact.split(" ", 1) for fact in facts)
            yield Case(
                name=f"{path.stem}: {name}",
                task=Task(task),
                dialect=None if dialect == "none" else Dialect(dialect),
                text=unescape(text.removeprefix("\n")),
                expected=expected,
            )


def unescape(text: str) -> str:
    for written, meant in ESCAPES.items():
        text = text.replace(written, meant)
    while (start := text.find("\\u")) >= 0:
        text = text[:start] + chr(int(text[start + 2 : start + 6], 16)) + text[start + 6 :]
    return text


CASES = list(read_cases())


def scores_of(text: str) -> dict[str, tuple[float, float]]:
    if text == "none":
        return {}
    scores = {}
    for item in text.split(", "):
        name, first, second = item.rsplit(" ", 2)
        scores[name] = (float(first), float(second))
    return scores


def totals_of(text: str) -> tuple[float, float] | None:
    if text == "none":
        return None
    first, second = text.split(" ")
    return float(first), float(second)


YES_NO = {"yes": True, "no": False, "none": None}


def test_there_are_enough_cases() -> None:
    assert len(CASES) >= 150
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case) -> None:
    result = parse_judgement(case.text, task=case.task, dialect=case.dialect)
    expected = case.expected
    if expected["verdict"].startswith("fail "):
        assert isinstance(result, ParseFailure), result
        assert result.kind == expected["verdict"].removeprefix("fail ")
        return
    assert isinstance(result, Judgement), result
    assert result.verdict == expected["verdict"]
    if "scores" in expected:
        assert result.scores == scores_of(expected["scores"])
    if "totals" in expected:
        assert result.totals == totals_of(expected["totals"])
    if "sums" in expected:
        assert result.sums_consistent is YES_NO[expected["sums"]]
    if "matches" in expected:
        assert result.answer_matches_totals is YES_NO[expected["matches"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_dialect_left_out_changes_no_verdict(case: Case) -> None:
    """Without a dialect the shape of the text decides how it is read: it may fail more often or less, never turn."""
    given = parse_judgement(case.text, task=case.task, dialect=case.dialect)
    guessed = parse_judgement(case.text, task=case.task)
    if isinstance(given, Judgement) and isinstance(guessed, Judgement):
        assert given == guessed
