"""The budget of bad samples: shares from the grace on, runs in a row, and what is written down."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from urt_data.errors import QuarantineError
from urt_data.stream.quarantine import BadSample, Quarantine, written_down

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


def test_a_sample_that_is_read_again_is_one_sample(tmp_path: Path) -> None:
    """Another position of the same sample is another read of it; the same key in another shard is another sample."""
    file = tmp_path / "quarantine.jsonl"
    quarantine = Quarantine(file=file)
    elsewhere = replace(BAD, shard="shard-000002.tar")
    quarantine.account([BAD, None, replace(BAD, position=9), elsewhere])
    assert (quarantine.num_read, quarantine.num_bad) == (4, 3)
    assert quarantine.samples == {(BAD.shard, BAD.key), (elsewhere.shard, BAD.key)}
    assert [json.loads(line)["shard"] for line in file.read_text().splitlines()] == [BAD.shard, elsewhere.shard]


def test_what_an_earlier_process_wrote_down_is_not_written_again(tmp_path: Path) -> None:
    """Also behind a half line, which a kill left."""
    file = tmp_path / "quarantine.jsonl"
    Quarantine(file=file).account([BAD])
    with file.open("a") as torn:
        torn.write('{"position": 3, "shard": "shard-0')
    assert written_down(file) == {(BAD.shard, BAD.key)}
    again = Quarantine(file=file, known=written_down(file))
    again.account([BAD, replace(BAD, key="pair-38")])
    assert [json.loads(line)["key"] for line in file.read_text().splitlines()] == ["pair-37", "pair-38"]
    assert len(again.samples) == 2
    assert written_down(tmp_path / "none.jsonl") == set()


@pytest.mark.parametrize("wrong", [{"max_share": 1.1}, {"max_consecutive": -1}, {"grace": 0}])
def test_a_budget_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(QuarantineError):
        Quarantine(**wrong)
