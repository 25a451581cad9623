"""From a table to shards by one command line."""

import csv
import json
from pathlib import Path

import pytest

from tests.urt_data.conftest import png
from urt_core.errors import ConfigError, DataError
from urt_core.records import Preference
from urt_data import Mixture, MixtureItem, ShardFolder
from urt_data.cli import main
from urt_data.errors import LabelError, LicenceError
from urt_data.prepare import parse_values, prepare
from urt_data.upkeep.verify import verify


@pytest.fixture
def table(tmp_path) -> Path:
    """Twelve pairs with a tie; the file of one is missing."""
    rows = []
    for number in range(12):
        for side in ("a", "b"):
            (tmp_path / f"{number}{side}.png").write_bytes(png(number, side))
        rows.append(
            {
                "prompt": f"scene {number}",
                "left": f"{number}a.png",
                "right": f"{number}b.png",
                "label": "ABtie"[number % 3 : number % 3 + 1],
            }
        )
    rows[5]["right"] = "missing.png"
    for row in rows:
        row["label"] = {"A": "first", "B": "second", "t": "tie"}[row["label"]]
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return tmp_path / "pairs.csv"


def arguments(table: Path, **settings) -> list[str]:
    values = {
        "data": "generic",
        "input": table,
        "output": table.parent / "shards",
        "columns.text": "prompt",
        "columns.first": "left",
        "columns.second": "right",
        "columns.preference": "label",
        "licence": "CC0-1.0",
        **settings,
    }
    return [f"{name}={value}" for name, value in values.items()]


def test_a_table_becomes_shards(table):
    told = []
    report = prepare(arguments(table, samples_per_shard=4, commercial_ok="true"), progress=told.append)
    assert (report.num_records, report.num_rejected) == (11, 1)
    folder = ShardFolder(table.parent / "shards")
    assert [record.text for record in folder] == [f"scene {number}" for number in range(12) if number != 5]
    assert folder[0].first.data == (png(0, "a"),)
    assert folder[2].preference is Preference.TIE
    assert folder.manifest["preferences"] == {"first": 4, "second": 4, "tie": 3} == dict(report.preferences)
    assert folder.metadata["licence"] == "CC0-1.0"
    assert verify(folder.folder).is_sound
    rejected = [json.loads(line) for line in (table.parent / "shards" / "rejected.jsonl").read_text().splitlines()]
    assert [(row["row"], row["field"]) for row in rejected] == [(5, "right")]
    assert "missing.png" in rejected[0]["reason"]
    assert len(Mixture([MixtureItem(folder=folder)])) == 11


def test_an_unstated_licence_is_not_mixed_in(table):
    prepare(arguments(table))
    with pytest.raises(LicenceError, match=r"generic with licence 'CC0-1\.0'"):
        Mixture([MixtureItem(folder=ShardFolder(table.parent / "shards"))])


def test_the_same_table_gives_the_same_bytes(table):
    def files() -> dict[str, bytes]:
        prepare(arguments(table, overwrite="true", samples_per_shard=3))
        return {path.name: path.read_bytes() for path in (table.parent / "shards").iterdir()}

    assert files() == files()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"split": "test"}, DataError, "no record belongs to the split 'test', 11 belong to others"),
        ({"columns.text": "nothing"}, DataError, "no row became a record, 12 were rejected; the first"),
        ({"columns.nonsense": "x"}, ConfigError, "nonsense"),
        ({"speed": "fast"}, ConfigError, "speed.*settings of every conversion: input, output"),
        ({"data": "nowhere"}, ConfigError, "source is 'nowhere'; allowed: "),
    ],
)
def test_what_cannot_be_converted(table, settings, error, message):
    with pytest.raises(error, match=message):
        prepare(arguments(table, **settings))
    assert not (table.parent / "shards" / "manifest.json").exists()


def test_settings_are_typed_and_set_once():
    assert parse_values(["a=1", "b.c=x=y", "b.d=true", "e=1.5", "f="]) == {
        "a": 1,
        "b": {"c": "x=y", "d": True},
        "e": "1.5",
        "f": "",
    }
    for wrong in (["a"], ["=1"], ["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=1", "a.b=2"]):
        with pytest.raises(ConfigError, match=r"no setting|set twice"):
            parse_values(wrong)
    with pytest.raises(ConfigError, match="needs data=<source> and input=<path>"):
        prepare(["data=hpdv3"])


def test_a_refused_label_column_leaves_the_output_as_it_was(table):
    prepare(arguments(table))
    before = (table.parent / "shards" / "manifest.json").read_bytes()
    table.write_text(table.read_text().replace(",first", ",0").replace(",second", ",1"))
    with pytest.raises(LabelError, match="nothing was written"):
        prepare(arguments(table, overwrite="true"))
    assert (table.parent / "shards" / "manifest.json").read_bytes() == before


def test_more_rejected_rows_than_the_limit_are_said_with_reasons(table):
    for number in range(3):
        (table.parent / f"{number}a.png").unlink()
    report = prepare(arguments(table))
    assert not report.is_within_limit
    assert [reason.partition(", ")[2].partition(" (")[0] for reason in report.reasons] == ["row 0", "row 1", "row 2"]
    assert "4 of 12 rows were rejected (33%), more than the limit max_rejected=0.02" in report.lines()[-1]
    assert prepare(arguments(table, max_rejected="0.34", overwrite="true")).is_within_limit
    assert main(["convert", *arguments(table, overwrite="true")]) == 1
    for wrong in ("2", "-0.1", "few"):
        with pytest.raises(ConfigError, match="share from 0 to 1"):
            prepare(arguments(table, max_rejected=wrong, overwrite="true"))


def test_one_bad_row_costs_a_row_unless_none_may_fail(table):
    assert prepare(arguments(table)).is_within_limit
    assert not prepare(arguments(table, max_rejected="0", overwrite="true")).is_within_limit


def test_all_rejected_rows_stand_in_the_file_that_is_named(table):
    for path in table.parent.glob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"12 were rejected; the first: generic: pairs\.csv, row 0 .*rejected\.jsonl"):
        prepare(arguments(table))
    assert len((table.parent / "shards" / "rejected.jsonl").read_text().splitlines()) == 12
    assert not list((table.parent / "shards").glob("*.partial"))


def test_rows_left_out_are_counted_by_reason(tmp_path):
    human = "<image>\n<image>\nText Caption: [a red car]"
    judgements = ["Alignment Score:\nImage 1: 3.5\nImage 2: 4", "Final Score: 3", '{"winner": 2}']
    turns = [[{"from": "human", "value": human}, {"from": "gpt", "value": judgement}] for judgement in judgements]
    (tmp_path / "train_data.json").write_text(json.dumps([{"conversations": pair} for pair in turns]))
    with pytest.raises(DataError) as error:
        prepare(["data=official_sft", f"input={tmp_path}", f"output={tmp_path}/out"])
    for reason in ("pair scores, no verdict", "pointwise", "a judgement as JSON"):
        assert f"1 rows left out: {reason}" in str(error.value)
