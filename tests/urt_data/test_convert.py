"""Results of a source as shards: what is counted, what is written beside them, and when too much was rejected."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from tests.urt_data.conftest import image_record
from urt_core.errors import DataError
from urt_data import ShardFolder
from urt_data.convert import REJECTED_NAME, ConversionReport, convert
from urt_data.sources import RowError


def rejected(row: int) -> RowError:
    return RowError(source="mine", file="rows.json", row=row, field="image", reason="is missing")


def test_records_become_shards_and_every_rejected_row_stands_beside_them(tmp_path):
    results = [image_record(0), rejected(1), image_record(1), image_record(2), *(rejected(row) for row in range(4, 8))]
    seen = []
    report = convert(
        results, tmp_path / "out", metadata={"source": "mine"}, progress=lambda one: seen.append(one.num_records)
    )
    assert [record.key for record in ShardFolder(tmp_path / "out")] == ["pair-0", "pair-1", "pair-2"]
    assert ShardFolder(tmp_path / "out").metadata == {"source": "mine"}
    assert seen == [1, 2, 3]
    assert (report.num_records, report.num_rejected) == (3, 5)
    assert report.preferences == Counter(first=1, second=1, tie=1)
    lines = (tmp_path / "out" / REJECTED_NAME).read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [1, 4, 5, 6, 7]
    assert len(report.reasons) == 3


def test_a_split_leaves_the_others_out_and_says_how_many(tmp_path):
    results = [replace(image_record(n), metadata={"split": "test" if n % 2 else "train"}) for n in range(4)]
    report = convert(results, tmp_path / "out", metadata={}, split="test")
    assert (report.num_records, report.num_other_splits) == (2, 2)
    with pytest.raises(DataError, match="no record belongs to the split 'dev', 4 belong to others"):
        convert(results, tmp_path / "none", metadata={}, split="dev")
    assert not (tmp_path / "none" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("records", "rows", "limit", "is_within"),
    [
        (98, 2, 0.02, True),
        (97, 3, 0.02, False),
        (1, 1, 0.02, True),  # a single one costs only itself
        (0, 2, 0.02, False),
        (1000, 1, 0.0, False),
        (1000, 0, 0.0, True),
        (50, 50, 0.5, True),
    ],
)
def test_a_share_of_the_rows_may_be_rejected(records: int, rows: int, limit: float, is_within: bool) -> None:
    report = ConversionReport(num_records=records, num_rejected=rows, max_rejected=limit)
    assert report.is_within_limit == is_within
    assert any("more than the limit" in line for line in report.lines()) == (not is_within)


def test_nothing_at_all_says_why(tmp_path):
    with pytest.raises(DataError, match="no row became a record: the input has no rows"):
        convert([], tmp_path / "none", metadata={})
    with pytest.raises(DataError, match=r"no row became a record, 1 were rejected; the first: mine: rows.json, row 3"):
        convert([rejected(3)], tmp_path / "one", metadata={})
