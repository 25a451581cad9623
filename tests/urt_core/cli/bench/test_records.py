"""The labelled pairs of a benchmark, and rows that are none."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from urt_core import Dialect, Preference, Scorer
from urt_core.cli.bench.records import LabelledRecords
from urt_core.engines.scripted import ScriptedEngine
from urt_core.errors import ConfigError, DataError

ROW = {"task": "image_generation", "text": "a car", "first": "a.png", "second": "b.png", "preference": "second"}


@pytest.fixture
def scorer() -> Scorer:
    return Scorer(engine=ScriptedEngine(script=[]), dialect=Dialect.DIRECT)


@pytest.fixture
def rows(picture, tmp_path: Path):
    for name, shade in (("a", 10), ("b", 200)):
        Path(picture(shade)).rename(tmp_path / f"{name}.png")

    def write(*changes: dict) -> Path:
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join(json.dumps({"key": f"p{n}"} | ROW | change) + "\n" for n, change in enumerate(changes)))
        return path

    return write


def test_pairs_have_their_label_and_their_facts(scorer, rows) -> None:
    records = LabelledRecords(rows({}, {"preference": "tie", "metadata": {"item": "7"}}), scorer=scorer)
    first, second = records
    assert (first.key, first.preference, dict(first.metadata)) == ("p0", Preference.SECOND, {})
    assert (second.preference, dict(second.metadata)) == (Preference.TIE, {"item": "7"})
    assert len(records) == 2
    assert [record.key for record in records.sequence()] == ["p0", "p1"]


def test_a_limit_is_part_of_what_they_are(scorer, rows) -> None:
    path = rows({}, {}, {})
    whole, some = LabelledRecords(path, scorer=scorer), LabelledRecords(path, scorer=scorer, limit=2)
    assert (len(some), len(list(some))) == (2, 2)
    assert some.about() == whole.about() | {"limit": 2}
    assert some.about()["num_in_set"] == 3
    assert len(LabelledRecords(path, scorer=scorer, limit=9)) == 3
    with pytest.raises(ConfigError, match="--limit is 0"):
        LabelledRecords(path, scorer=scorer, limit=0)


def test_another_file_is_another_set(scorer, rows) -> None:
    before = LabelledRecords(rows({}), scorer=scorer).about()["fingerprint"]
    assert LabelledRecords(rows({"preference": "first"}), scorer=scorer).about()["fingerprint"] != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"preference": None}, r"row 2: p1 has no preference; allowed: first, second, tie; a benchmark needs all"),
        ({"preference": "left"}, "row 2: p1 has the preference 'left'"),
        ({"metadata": [1]}, r"row 2: p1 has metadata \[1\], which is no object"),
        ({"text": None}, "row 2: .*p1.*text"),
    ],
)
def test_a_row_that_is_no_labelled_pair_is_named_where_it_stands(scorer, rows, change: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        list(LabelledRecords(rows({}, change), scorer=scorer))


def test_a_file_without_pairs_is_said_at_once(scorer, rows) -> None:
    with pytest.raises(DataError, match="holds no pairs"):
        LabelledRecords(rows(), scorer=scorer)


def test_of_shards_each_process_reads_what_it_asks_for(scorer, rows, monkeypatch, tmp_path: Path) -> None:
    records = list(LabelledRecords(rows(*({} for _ in range(6))), scorer=scorer))
    read: list[int] = []

    class Shards(Sequence):
        manifest_sha256 = "9f"

        def __len__(self) -> int:
            return len(records)

        def __getitem__(self, place):
            if place >= len(records):
                raise IndexError(place)
            read.append(place)
            return records[place]

    for name in ("batch.inputs", "bench.records"):
        monkeypatch.setattr(f"urt_core.cli.{name}.open_shards", lambda folder: Shards())
    found = LabelledRecords(tmp_path, scorer=scorer)
    shared = found.shared()
    assert isinstance(shared, Sequence)
    assert (shared[4].key, len(shared), read) == ("p4", 6, [4])
    assert found.about()["fingerprint"] == "shards:9f"
    limited = LabelledRecords(tmp_path, scorer=scorer, limit=2)
    assert not isinstance(limited.shared(), Sequence)
    assert [record.key for record in limited.sequence()] == ["p0", "p1"]
