"""Annotation files row by row: streaming, broken rows, the accessors."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from urt_core.errors import ConfigError
from urt_data.sources.rows import BadRow, FieldError, Row, read_rows

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
json_rows = st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=4), max_size=6)


def rows_of(path: Path, **settings: Any) -> list[Any]:
    return [row.values if isinstance(row, Row) else row for row in read_rows(path, name=path.name, **settings)]


@given(rows=json_rows, indent=st.sampled_from([None, 2]), bom=st.booleans())
@settings(max_examples=60, deadline=None)
def test_json_arrays_are_read_like_json_does(tmp_path_factory, rows: list, indent: int | None, bom: bool) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(
        json.dumps(rows, indent=indent, ensure_ascii=False),
        encoding="utf-8-sig" if bom else "utf-8",
        errors="surrogatepass",
    )
    assert rows_of(path) == rows


def test_a_json_array_longer_than_the_buffer_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    with path.open("w") as file:
        file.write("[")
        for number in range(20_000):
            file.write(f'{"," if number else ""} {{"number": {number}, "text": "{"x" * 100}"}}\n')
        file.write("]")
    assert path.stat().st_size > 2_400_000
    tracemalloc.start()
    numbers = [row.values["number"] for row in read_rows(path, name="long.json") if isinstance(row, Row)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert numbers == list(range(20_000))
    # The list of numbers itself is 0.7 MB; buffers of 1 MB as text, their rest and one chunk make up most of the other.
    assert peak < 8_000_000


def test_a_row_longer_than_a_chunk_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "wide.json"
    path.write_text(json.dumps([{"text": "x" * 3_000_000}, {"text": "y"}]))
    assert [len(row["text"]) for row in rows_of(path)] == [3_000_000, 1]


def test_rows_after_a_cut_are_reported_as_lost(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_text('[{"a": 1}, {"a": 2}, {"a": ')
    first, second, bad = rows_of(path)
    assert (first, second) == ({"a": 1}, {"a": 2})
    assert isinstance(bad, BadRow)
    assert (bad.number, bad.error.reason) == (
        2,
        "is no valid JSON or the file ends inside it; this row and all behind it are lost",
    )


def test_missing_comma_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "comma.json"
    path.write_text('[{"a": 1} {"a": 2}]')
    good, bad = rows_of(path)
    assert good == {"a": 1}
    assert bad.error.reason == "is not followed by ',' or ']'; all rows behind it are lost"


def test_rows_that_are_no_objects_are_broken_rows(tmp_path: Path) -> None:
    path = tmp_path / "mixed.json"
    path.write_text('[{"a": 1}, 7, "text", null, [1], {"a": 2}]')
    rows = rows_of(path)
    assert rows[0] == {"a": 1}
    assert rows[-1] == {"a": 2}
    assert [row.error.field for row in rows[1:-1]] == ["row"] * 4


def test_json_lines_go_on_behind_a_broken_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"a": 1}\n\nnot json\n\xff\xfe\n{"a": 2}\n')
    rows = rows_of(path)
    assert [row for row in rows if isinstance(row, dict)] == [{"a": 1}, {"a": 2}]
    assert [row.number for row in rows if isinstance(row, BadRow)] == [1, 2]


def test_a_json_file_that_begins_with_an_object_is_read_as_lines(tmp_path: Path) -> None:
    path = tmp_path / "really_lines.json"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert rows_of(path) == [{"a": 1}, {"a": 2}]


def test_csv_with_commas_quotes_and_a_long_row(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text('a,b\n"x, ""y""",2\nonly one\n1,2,3\n,5\n')
    first, second, long, last = rows_of(path)
    assert first == {"a": 'x, "y"', "b": "2"}
    assert second == {"a": "only one"}
    assert long.error.reason == "has more values than the 2 columns of the header"
    assert last == {"b": "5"}


def test_parquet_reads_only_the_wanted_columns_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": list(range(100)), "user_id": ["secret"] * 100}), path, row_group_size=40)
    rows = rows_of(path, columns=("a", "b"))
    assert rows == [{"a": number} for number in range(100)]


def test_damaged_parquet_is_a_broken_row(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"a": list(range(100))}), path)
    path.write_bytes(path.read_bytes()[:-20])
    (bad,) = rows_of(path)
    assert bad.error.reason.startswith("the Parquet file is damaged here; this row and all behind it are lost")


def test_parquet_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    schema = pa.schema([("image", pa.binary())])
    with pq.ParquetWriter(path, schema) as writer:
        for number in range(8):
            writer.write_table(pa.table({"image": [bytes([number]) * 200_000] * 40}, schema=schema), row_group_size=20)
    start = pa.total_allocated_bytes()
    pool = pa.default_memory_pool()
    peak = 0
    for _ in read_rows(path, name="images.parquet"):
        peak = max(peak, pool.bytes_allocated() - start)
    # 64 MB of images in row groups of 4 MB: a group in pages, its decoded batch and Arrow's growth of buffers.
    assert peak < 24_000_000


def test_rows_inside_an_object(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text('{"pairs": [{"a": 1}, {"a": 2}]}')
    assert rows_of(path, within="pairs") == [{"a": 1}, {"a": 2}]
    (bad,) = rows_of(path, within="rows")
    assert "no JSON object with 'rows'" in bad.error.reason


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


def test_rows_wrapped_in_an_object_of_other_facts(tmp_path: Path) -> None:
    path = tmp_path / "wrapped.json"
    rows = [{"a": 1, "items": [{"b": 2}]}, {"a": 2}]
    path.write_text(json.dumps({"version": 1.5, "note": {"data": "x"}, "data": rows, "end": None}, indent=1))
    assert rows_of(path) == rows


def test_printed_objects_one_behind_the_other(tmp_path: Path) -> None:
    path = tmp_path / "printed.json"
    row = {"text": "a", "conversations": [{"from": "human"}], "last": 7}
    path.write_text(json.dumps(row, indent=2))
    assert rows_of(path) == [row]
    path.write_text("\n".join(json.dumps(item, indent=2) for item in (row, {"b": 1}, {"c": [2]})))
    assert rows_of(path) == [row, {"b": 1}, {"c": [2]}]
    path.write_text(json.dumps(row, indent=2) + '\n{"b": ')
    good, bad = rows_of(path)
    assert good == row
    assert "all behind it are lost" in bad.error.reason


DEEP = "[" * 3000 + '"]}{[ \\" "' + "]" * 3000
DIGITS = "9" * 5000


@pytest.mark.parametrize("chunk", [1, 7, 64, 2**20])
@pytest.mark.parametrize("wrong", [f'{{"a": {DEEP}}}', f'{{"a": {DIGITS}}}', DIGITS, DEEP])
@pytest.mark.parametrize("form", ["array", "lines", "wrapped"])
def test_what_python_cannot_read_costs_its_own_row(
    wrong: str, form: str, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("urt_data.sources.reading.json_rows.JSON_CHUNK", chunk)
    good = ['{"b": "]}"}', '{"c": {"d": []}}']
    path = tmp_path / "rows.json"
    if form == "lines":
        path.write_text("\n".join([good[0], wrong, good[1]]))
    else:
        array = f"[{good[0]}, {wrong} ,{good[1]}]"
        path.write_text(array if form == "array" else f'{{"data": {array}}}')
    first, bad, last = rows_of(path)
    assert (first, last) == ({"b": "]}"}, {"c": {"d": []}})
    assert isinstance(bad, BadRow)
    assert bad.number == 1


@pytest.mark.parametrize("ending", ["]", "", "]]", ', "x"'])
def test_a_deep_row_without_an_end_is_the_last(ending: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"a": 1}, ' + "[" * 3000 + ending)
    first, bad = rows_of(path)
    assert first == {"a": 1}
    assert "lost" in bad.error.reason


@pytest.mark.parametrize("mark", [";", "\t", "|", ","])
def test_tables_with_any_delimiter(mark: str, tmp_path: Path) -> None:
    path = tmp_path / ("table.tsv" if mark == "\t" else "table.csv")
    path.write_text(
        mark.join("abc") + "\n" + mark.join(["1, 2" if mark != "," else "1", "x;y" if mark != ";" else "x", "z"]) + "\n"
    )
    assert rows_of(path) == [{"a": "1" if mark == "," else "1, 2", "b": "x" if mark == ";" else "x;y", "c": "z"}]


def test_arrow_files_of_save_to_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="datasets is not installed")
    rows = [{"text": f"row {number}", "image": {"bytes": b"x", "path": None}, "n": number} for number in range(70)]
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"), num_shards=2)
    names = sorted(path.name for path in (tmp_path / "saved").glob("*.arrow"))
    assert names == ["data-00000-of-00002.arrow", "data-00001-of-00002.arrow"]
    found = [row for name in names for row in rows_of(tmp_path / "saved" / name, columns=("text", "image"))]
    assert found == [{"text": row["text"], "image": row["image"]} for row in rows]
    path = tmp_path / "saved" / names[0]
    path.write_bytes(path.read_bytes()[:400])
    assert "Arrow file is damaged" in rows_of(path)[-1].error.reason


@given(st.binary(max_size=200), st.sampled_from([".json", ".jsonl", ".csv", ".tsv", ".parquet", ".arrow"]))
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_rows_or_reasons(tmp_path_factory, content: bytes, suffix: str) -> None:
    path = tmp_path_factory.mktemp("any") / f"rows{suffix}"
    path.write_bytes(content)
    assert all(isinstance(row, dict | BadRow) for row in rows_of(path))
