"""Results of older and newer versions: a missing measure opens, an unknown one is named, a newer schema is refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from urt_core import Dialect, Preference, Task
from urt_core.bench.evaluation import EvaluationResult
from urt_core.bench.rates import NOT_MEASURED, Rate, rows_per_cause, rows_per_task
from urt_core.bench.saved import known_fields, read_saved
from urt_core.bench.suites import SuiteReport
from urt_core.bench.suites.confidence import Confidence
from urt_core.bench.suites.running import Example, Finding
from urt_core.bench.tables import evaluation_tables
from urt_core.comparison import Order
from urt_core.errors import DataError
from urt_core.judging.pairs import JudgedPair
from urt_core.metrics import CalibrationBin


def pairs() -> list[JudgedPair]:
    return [
        JudgedPair(
            key=f"{place}", task=Task.IMAGE_GENERATION, cause="count", dialect=Dialect.V1, order=Order.GIVEN,
            label=Preference.FIRST, verdict=Preference.FIRST if place else Preference.SECOND, failure=None,
            correct=bool(place), scores={}, totals=None, sums_consistent=None, answer_matches_totals=None, num_tokens=9,
            text="<answer>Image 1 is better</answer>",
        )
        for place in range(4)
    ]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    judged = pairs()
    result = EvaluationResult(
        model="judge", data={}, settings={}, rows=rows_per_task(judged), cause_rows=rows_per_cause(judged),
        judged=tuple(judged),
    )  # fmt: skip
    result.save(tmp_path)
    return tmp_path


def edit(path: Path, change) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def every_row(value: dict[str, Any]):
    return [*value["rows"], *value["cause_rows"]]


def test_a_result_says_its_schema_and_comes_back(folder):
    assert json.loads((folder / "result.json").read_text())["schema"] == 1
    assert EvaluationResult.load(folder).row(Dialect.V1).accuracy == Rate(successes=3, n=4)


@pytest.mark.parametrize("measure", ["mean_tokens", "first_pick", "position_consistency", "verdict_follows_totals"])
def test_an_older_result_without_a_measure_opens_and_is_shown(folder, measure):
    def older(value):
        del value["schema"]
        for row in every_row(value):
            del row[measure]

    edit(folder / "result.json", older)
    result = EvaluationResult.load(folder)
    assert getattr(result.row(Dialect.V1), measure) in (None, NOT_MEASURED)
    assert result.row(Dialect.V1).accuracy.value == 0.75
    assert evaluation_tables(result)


def test_a_newer_result_opens_and_its_measure_is_named(folder):
    edit(folder / "result.json", lambda value: [row.update(ece=0.1) for row in every_row(value)])
    with pytest.warns(UserWarning, match=r"result\.json is newer than this urt, which does not know its ece"):
        assert EvaluationResult.load(folder).row(Dialect.V1).accuracy.value == 0.75
    edit(folder / "result.json", lambda value: [row.pop("ece") for row in every_row(value)])
    edit(folder / "result.json", lambda value: value.update(hardware="H200"))
    with pytest.warns(UserWarning, match="does not know its hardware"):
        EvaluationResult.load(folder)


@pytest.mark.parametrize("schema", [2, 99])
def test_a_result_that_would_be_read_wrongly_is_refused(folder, schema):
    edit(folder / "result.json", lambda value: value.update(schema=schema))
    with pytest.raises(DataError, match=rf"has schema {schema}, this urt reads up to 1; update urt-core"):
        EvaluationResult.load(folder)


def test_what_cannot_be_missing_is_named(folder):
    edit(folder / "result.json", lambda value: value["rows"][0].pop("accuracy"))
    with pytest.raises(DataError, match=r"result\.json lacks accuracy; measure again"):
        EvaluationResult.load(folder)
    edit(folder / "result.json", lambda value: value.pop("rows"))
    with pytest.raises(DataError, match=r"result\.json lacks rows"):
        EvaluationResult.load(folder)


@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"schema": "1"}', '{"schema": 0}', '{"schema": true}'])
def test_what_is_no_result_is_one_line(tmp_path, content):
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(DataError, match=r"result\.json (is|has) ") as caught:
        read_saved(tmp_path / "result.json", schema=1)
    assert "\n" not in str(caught.value)


def test_suites_of_another_version_open_too(tmp_path):
    path = tmp_path / "suites.json"
    example = Example(key="pair-1", order="given", before="first", after="second", text="so")
    finding = Finding(
        suite="style", variant="border", asks="the loser wins", ideal=0.0, rate=Rate(successes=3, n=12),
        unreadable=NOT_MEASURED, examples=(example,),
    )  # fmt: skip
    report = SuiteReport(model="judge", num_pairs=12, findings=(finding,), confidences=())
    report.save(path)
    assert SuiteReport.load(path) == report
    edit(
        path, lambda value: value["findings"][0].update(seconds=3) or value["findings"][0]["examples"][0].update(seed=1)
    )
    with pytest.warns(UserWarning, match="does not know its (seconds|seed)"):
        assert SuiteReport.load(path) == report
    edit(path, lambda value: value.update(schema=2))
    with pytest.raises(DataError, match="has schema 2, this urt reads up to 1"):
        SuiteReport.load(path)


def test_what_is_new_or_missing_inside_the_rows_of_suites_is_named(tmp_path):
    path = tmp_path / "suites.json"
    finding = Finding(
        suite="style", variant="border", asks="the loser wins", ideal=0.0, rate=Rate(successes=3, n=12),
        unreadable=NOT_MEASURED,
    )  # fmt: skip
    filled = CalibrationBin(low=0.5, high=1.0, n=12, mean_probability=0.7, frequency=0.75)
    known = Confidence(method="votes", n=12, ece=0.1, brier=0.2, bins=(filled,), abstention=((1.0, 0.75),))
    report = SuiteReport(model="judge", num_pairs=12, findings=(finding,), confidences=(known,))
    places: list[Callable[[dict], dict]] = [
        lambda value: value["findings"][0]["rate"],
        lambda value: value["confidences"][0],
        lambda value: value["confidences"][0]["bins"][0],
    ]
    for place in places:
        report.save(path)
        edit(path, lambda value, place=place: place(value).update(spread=0.1))
        with pytest.warns(UserWarning, match="does not know its spread"):
            assert SuiteReport.load(path) == report
        report.save(path)
        edit(path, lambda value, place=place: place(value).pop("n"))
        with pytest.raises(DataError, match=r"suites\.json lacks n; measure again"):
            SuiteReport.load(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(rows="none"),
        lambda value: value.update(cause_rows=None),
        lambda value: value.update(rows=[[1]]),
        lambda value: value["rows"][0].update(dialect="v9"),
        lambda value: value["rows"][0].update(task="audio"),
        lambda value: value["rows"][0]["accuracy"].pop("n"),
    ],
)
def test_rows_that_are_none_are_one_line(folder, change):
    edit(folder / "result.json", change)
    with pytest.raises(DataError, match=r"result\.json") as caught:
        EvaluationResult.load(folder)
    assert "\n" not in str(caught.value)


def test_defaults_stand_in_for_what_is_missing():
    @dataclass
    class Kind:
        needed: int
        more: int = 7

    assert Kind(**known_fields(Kind, {"needed": 1}, path="x")) == Kind(1, 7)
    with pytest.raises(DataError, match="x lacks needed"):
        known_fields(Kind, {"more": 1}, path="x")
