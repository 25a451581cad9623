"""Rows of JSON: streamed, past broken ones, however they are wrapped."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.urt_data.sources.reading.row_lists import rows_of
from urt_data.sources.rows import BadRow, Row, read_rows

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


json_rows = st.lists(st.dictionaries(st.text(max_size=5), json_values, max_size=4), max_size=6)


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


def test_rows_inside_an_object(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text('{"pairs": [{"a": 1}, {"a": 2}]}')
    assert rows_of(path, within="pairs") == [{"a": 1}, {"a": 2}]
    (bad,) = rows_of(path, within="rows")
    assert "no JSON object with 'rows'" in bad.error.reason


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
