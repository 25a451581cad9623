"""A result written and read, by this version and by others."""

import json
import math

import pytest

from urt_core.bench.result import SCHEMA, BenchResult
from urt_core.errors import ConfigError, DataError

RESULT = BenchResult(
    benchmark="genai_bench", rule="four_way", wording="over all votes", values={"accuracy": 45.5, "first_picked": 51.0},
    own=("accuracy",), intervals={"accuracy": (43.25, 47.75)}, n_of={"accuracy": 1735}, n_total=1735, n_scored=1724,
    n_failed=11, threshold=0.5, notes=("INCOMPLETE",), is_complete=False,
)  # fmt: skip


def test_a_result_comes_back_through_json() -> None:
    assert BenchResult.from_json(json.loads(json.dumps(RESULT.to_json()))) == RESULT


def test_what_could_not_be_counted_is_null_in_json_and_no_number_again() -> None:
    shown = RESULT.to_json() | {"values": {"accuracy": None}}
    assert math.isnan(BenchResult.from_json(shown).values["accuracy"])
    assert json.loads(json.dumps(shown))["values"]["accuracy"] is None


def test_the_headline_has_an_interval_and_another_name_is_answered_with_the_known_ones() -> None:
    assert RESULT.interval(RESULT.headline) == (43.25, 47.75)
    with pytest.raises(ConfigError, match=r"rule 'four_way' gives no 'macro'; it gives accuracy"):
        RESULT.interval("macro")


def test_an_older_result_has_fewer_fields() -> None:
    old = {
        "schema": 1, "benchmark": "mmrb2", "rule": "each", "values": {"accuracy": 50.0}, "n_total": 2, "n_scored": 2,
        "n_failed": 0,
    }  # fmt: skip
    found = BenchResult.from_json(old)
    assert (found.own, found.intervals, found.notes, found.n_of) == (("accuracy",), {}, (), {})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "it has no schema version"),
        ({"values": {}}, "it has no schema version"),
        ({"schema": True}, "it has no schema version"),
        ({"schema": SCHEMA, "rule": "each", "n_total": 2, "n_scored": 2}, "lacks benchmark, n_failed"),
        ({"schema": SCHEMA + 1}, f"has schema {SCHEMA + 1}, this urt reads up to {SCHEMA}"),
    ],
)
def test_what_would_be_read_wrongly_is_refused(value, message: str) -> None:
    with pytest.raises(DataError, match=message):
        BenchResult.from_json(value)
