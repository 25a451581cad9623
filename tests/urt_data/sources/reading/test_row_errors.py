"""A row that can't be read says where and why."""

import pickle

from urt_core.errors import DataError
from urt_data.sources.rows import RowError


def test_row_error_says_where_and_why_and_travels_between_processes() -> None:
    error = RowError(source="hpdv3", file="train.json", row=12, field="path1", reason="is missing")
    assert isinstance(error, DataError)
    assert str(error) == "hpdv3: train.json, row 12 (counted from 0), field 'path1': is missing"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert copy.to_json() == error.to_json()
