"""The budget of bad samples: shares from the grace on, runs in a row, and what is written down."""

import json
from pathlib import Path

import pytest

from urt_data.errors import QuarantineError
from urt_data.quarantine import BadSample, Quarantine

BAD = BadSample(position=1, shard="shard-000001.tar", key="pair-37", reason="torn")


def test_a_share_is_allowed_and_one_more_is_not() -> None:
    quarantine = Quarantine(max_share=0.02, max_consecutive=5, grace=100)
    quarantine.account([None, BAD] * 2)
    with pytest.raises(
        QuarantineError, match=r"3 of 6 samples are bad \(more than max_share=0\.02\); the last is pair-37"
    ):
        quarantine.account([None, BAD])


def test_many_in_a_row_end_the_run_at_once() -> None:
    quarantine = Quarantine(max_share=1.0, max_consecutive=3)
    quarantine.account([BAD] * 3 + [None] + [BAD] * 3)
    with pytest.raises(QuarantineError, match="4 in a row, allowed are 3"):
        quarantine.account([BAD])


def test_each_is_written_down(tmp_path: Path) -> None:
    file = tmp_path / "run" / "quarantine.jsonl"
    quarantine = Quarantine(file=file)
    quarantine.account([None, BAD, None])
    assert [json.loads(line)["key"] for line in file.read_text().splitlines()] == ["pair-37"]
    assert (quarantine.num_read, quarantine.num_bad) == (3, 1)


@pytest.mark.parametrize("wrong", [{"max_share": 1.1}, {"max_consecutive": -1}, {"grace": 0}])
def test_a_budget_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(QuarantineError):
        Quarantine(**wrong)
