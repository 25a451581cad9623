"""Annotation files row by row: streaming, broken rows, the accessors."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.urt_data.sources.reading.row_lists import rows_of
from urt_core.errors import ConfigError
from urt_data.sources.rows import BadRow, FieldError, Row, read_rows


def test_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"rows are read from \.json, \.jsonl, \.parquet, \.csv, \.arrow, \.tsv files"
    ):
        list(read_rows(tmp_path / "rows.pkl", name="rows.pkl"))


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        (lambda row: row.text("none"), "is missing; the row has empty, items, number, text, word"),
        (lambda row: row.text("number"), "is int 3; it must be a string"),
        (lambda row: row.text("empty"), "is empty"),
        (lambda row: row.real("word"), "is str 'red'; it must be a number"),
        (lambda row: row.items("number"), "is int 3; it must be a list"),
        (lambda row: row.items("items", length=3), "has 2 items; it must have 3"),
        (lambda row: row.fields("items"), "is list [1, 2]; it must be an object"),
        (lambda row: row.choice("word", {"blue": 1, "green": 2}), "is str 'red'; allowed: 'blue', 'green'"),
    ],
)
def test_accessors_say_what_is_wrong(access, reason: str) -> None:
    values = {"text": "t", "number": 3, "empty": " ", "items": [1, 2], "word": "red", "none": None}
    with pytest.raises(FieldError) as caught:
        access(Row(file="f", number=0, values=values))
    assert caught.value.reason == reason


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", "-inf", True, [1]])
def test_numbers_are_finite(value: Any) -> None:
    with pytest.raises(FieldError, match=r"finite|must be a number"):
        Row(file="f", number=0, values={"n": value}).real("n")


@given(st.binary(max_size=200), st.sampled_from([".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_rows_or_reasons(tmp_path_factory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.mktemp("any") / f"rows{suffix}"
    path.write_bytes(content)
    assert all(isinstance(row, dict | BadRow) for row in rows_of(path))
