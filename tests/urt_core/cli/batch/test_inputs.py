"""Rows of a request file, and rows that cost themselves alone."""

import json
from pathlib import Path

import pytest

from tests.urt_core.cli.batch.conftest import results_of
from urt_core import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_core.cli.batch import inputs


def test_parquet(urt, picture, tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow (urt-core[parquet])")
    from pyarrow import parquet

    images = [{"bytes": Path(picture(shade)).read_bytes(), "path": None} for shade in (200, 100)]
    table = pyarrow.table(
        {"task": ["image_generation"], "text": ["a car"], "first": [images[0]], "second": [images[1]]}
    )
    parquet.write_table(table, tmp_path / "pairs.parquet")
    done = urt("compare", "--input", tmp_path / "pairs.parquet", "--output", tmp_path / "results.jsonl")
    assert done.code == 0
    [(key, result)] = results_of(tmp_path / "results.jsonl").items()
    assert key.startswith("row-")
    assert result["preference"] == "first"


class Shards(list):
    manifest_sha256 = "0" * 64


def test_a_folder_of_shards_is_read_by_what_registers_for_it(urt, picture, tmp_path, monkeypatch):
    def media(shade):
        data = Path(picture(shade)).read_bytes()
        return Media(kind=MediaKind.IMAGE, files=("a.png",), data=(data,))

    record = PreferenceRecord(
        key="shard-pair",
        task=Task.IMAGE_GENERATION,
        text="a car",
        first=media(1),
        second=media(2),
        preference=Preference.FIRST,
    )
    folder = tmp_path / "shards"
    folder.mkdir()
    command = ("compare", "--input", folder, "--output", tmp_path / "results.jsonl")
    monkeypatch.setattr(inputs, "entry_points", lambda group: [])
    assert "pip install urt-data" in urt(*command).err

    class Reader:
        def load(self):
            return lambda path: Shards([record])

    monkeypatch.setattr(inputs, "entry_points", lambda group: [Reader()] if group == "urt_core.shard_readers" else [])
    assert urt(*command).code == 0
    assert results_of(tmp_path / "results.jsonl")["shard-pair"]["preference"] == "second"


ROW = '{"key": "a", "task": "image_generation", "text": "t", "first": "a.png", "second": "b.png"}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1 is not JSON"),
        ("[]", "line 1 is a JSON list"),
        ('{"task": "image_generation"}', "lacks text, first, second"),
        ('{"key": "A B"}', "key is 'A B'"),
        (f"{ROW}\n{ROW}", "rows 1 and 2 have the key 'a'"),
        ('{"task": "audio", "text": "t", "first": "a", "second": "b"}', "'audio'"),
    ],
)
def test_a_wrong_row_is_named(urt, tmp_path, text, message):
    (tmp_path / "rows.jsonl").write_text(text)
    done = urt("compare", "--input", tmp_path / "rows.jsonl", "--output", tmp_path / "results.jsonl")
    assert done.code == 3  # all of it failed, or half
    assert any(message in row["detail"] for row in results_of(tmp_path / "results.jsonl").values())


# What stands in row 51 of 100, and the status of its line.
BAD_ROWS = {
    "not json": (b"{oops", "bad_record"),
    "no object": (b"[1, 2]", "bad_record"),
    "not UTF-8": (b"\xff\xfe", "bad_record"),
    "deep": (b"[" * 5000, "bad_record"),
    "deep inside": (b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}", "bad_record"),
    "5,000 digits": (b'{"text": ' + b"7" * 5000 + b"}", "bad_record"),
    "surrogate": ({"text": "a \ud800 cat"}, "bad_record"),
    "surrogate in an answer": ({"task": "image_understanding", "first": "\udfff", "media": "200.png"}, "bad_record"),
    "no second": ({"second": None}, "bad_record"),
    "unknown task": ({"task": "audio"}, "bad_record"),
    "task a list": ({"task": ["image_understanding"]}, "bad_record"),
    "text a number": ({"text": 5}, "bad_record"),
    "first a list": ({"first": ["a"]}, "bad_media"),
    "an answer a list": ({"task": "image_understanding", "first": ["a"], "media": "200.png"}, "bad_record"),
    "key again": ({"key": "k-49"}, "bad_record"),
    "key of bad letters": ({"key": "K 50"}, "bad_record"),
    "key a number": ({"key": 50}, "bad_record"),
    "no files": ({"first": {"kind": "image", "files": []}}, "bad_record"),
    "files a number": ({"first": {"kind": "image", "files": 5}}, "bad_record"),
    "media a number": ({"first": 5}, "bad_media"),
    "endless": ({"first": "/dev/zero"}, "bad_media"),
    "no such file": ({"first": "nowhere.png"}, "bad_media"),
    "a directory": ({"first": "."}, "bad_media"),
    "NUL": ({"first": "a\0.png"}, "bad_media"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_one_bad_row_costs_a_row(urt, endpoint, picture, tmp_path, name):
    picture(200)
    picture(100)
    common = {"task": "image_generation", "text": "a car", "first": "200.png", "second": "100.png"}
    rows = [json.dumps(common | {"key": f"k-{number}"}).encode() for number in range(100)]
    bad, status = BAD_ROWS[name]
    rows[50] = bad if isinstance(bad, bytes) else json.dumps(common | {"key": "k-50"} | bad).encode()
    (tmp_path / "rows.jsonl").write_bytes(b"\n".join(rows))
    command = ("compare", "--input", tmp_path / "rows.jsonl", "--output", tmp_path / "out.jsonl", "--orders", "given")
    assert urt(*command).code == 0
    results = results_of(tmp_path / "out.jsonl")
    failed = {key: row for key, row in results.items() if row["status"] != "ok"}
    assert (len(results), [row["status"] for row in failed.values()]) == (100, [status])
    assert all(row["detail"] for row in failed.values())
    asked = endpoint.num_requests
    assert urt(*command).code == 0
    assert (endpoint.num_requests, len(results_of(tmp_path / "out.jsonl"))) == (asked, 100)


@pytest.mark.parametrize("command", ["score", "rank"])
def test_bad_rows_cost_a_row_in_other_commands_too(urt, picture, tmp_path, command):
    name = picture(10).rsplit("/", 1)[1]
    common = {"task": "image_generation", "text": "a car", "candidate": name, "candidates": [name, name]}
    bad = [{"task": "audio"}, {"text": None}, {"text": "\ud800"}, {"candidate": "x.png", "candidates": 7}]
    rows = [common | {"key": "good"}, *(common | {"key": f"bad-{index}"} | row for index, row in enumerate(bad))]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{oops\n")
    options = ("--contract", "acs") if command == "score" else ()
    done = urt(command, "--input", tmp_path / "rows.jsonl", "--output", tmp_path / "out.jsonl", *options)
    assert done.code == 3
    statuses = {key: row["status"] for key, row in results_of(tmp_path / "out.jsonl").items()}
    assert statuses.pop("good") == "ok"
    assert len(statuses) == 5
    assert set(statuses.values()) <= {"bad_record", "bad_media"}
