"""Rows of any structure: each becomes a record or a reason, and no reader raises what is not an error of ours."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.urt_data.sources.conftest import medium
from tests.urt_data.sources.recordings import RECORDINGS, record
from urt_core.errors import UrtError
from urt_core.records import PreferenceRecord
from urt_data import sources

JSON_READERS = sorted(
    name for name in RECORDINGS if all(file.endswith((".json", ".jsonl")) for file in record(name).files)
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([10**400, -(10**400)]),
    st.floats(),
    st.sampled_from(
        [
            "",
            " ",
            "a.jpg",
            "../a.jpg",
            "/etc/passwd",
            "http://host/a.jpg",
            "first",
            "Image 1 is better",
            "NaN",
            "\ud800",
        ]
    ),
    st.text(max_size=8),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def paths_of(value, path=()):
    """The place of every value inside a row."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*path, key))


def with_value(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_value(copy[path[0]], path[1:], new)
    return copy


def read(name: str, folder, **options) -> None:
    try:
        conversion = sources.get(name, **options).records(folder, decode=True)
        results = list(conversion)
    except UrtError:
        return  # the input as a whole is refused
    assert all(isinstance(result, PreferenceRecord | sources.RowError) for result in results)


def written(folder, file: str, rows) -> None:
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    lines = rows if isinstance(rows, list) else [rows]
    text = "".join(json.dumps(row) + "\n" for row in lines) if file.endswith(".jsonl") else json.dumps(rows)
    (folder / file).write_text(text)


fuzzed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", JSON_READERS)
@fuzzed
@given(st.data())
def test_a_published_row_with_anything_in_one_place(name, tmp_path, data):
    recording = record(name)
    for place in recording.media[:6]:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(medium(place))
    for file, rows in recording.files.items():
        few = rows[:3] if isinstance(rows, list) else {"pairs": rows["pairs"][:2]}
        path = data.draw(st.sampled_from(list(paths_of(few))))
        written(tmp_path, file, with_value(few, path, data.draw(values)))
    read(name, tmp_path)


COLUMNS = (
    *("text", "prompt", "first", "second", "preference", "label", "chosen", "rejected", "messages", "conversations"),
    *("images", "image", "video", "responses", "ranking", "scores", "generations", "completions", "question", "x"),
)
"""Names that mean something to a reader, and one that does not."""


@pytest.mark.parametrize("task", ["image_generation", "image_understanding", "video_generation"])
@fuzzed
@given(st.lists(st.dictionaries(st.sampled_from(COLUMNS), values, max_size=6) | values, max_size=4))
def test_rows_of_any_shape(task, tmp_path, rows):
    (tmp_path / "a.jpg").write_bytes(medium("a.jpg"))
    for file in tmp_path.glob("rows.*"):
        file.unlink()
    written(tmp_path, "rows.jsonl", rows)
    read("generic", tmp_path, task=task)
    (tmp_path / "rows.jsonl").unlink()
    written(tmp_path, "rows.json", {"data": rows})
    read("generic", tmp_path, task=task)


@fuzzed
@given(st.lists(st.lists(st.text(max_size=12), min_size=1, max_size=5), max_size=5), st.sampled_from([",", ";", "\t"]))
def test_tables_of_any_cells(tmp_path, rows, delimiter):
    lines = ["prompt,first,second,preference".replace(",", delimiter), *(delimiter.join(row) for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
    read("generic", tmp_path, columns={"text": "prompt"}, task="image_understanding")


@fuzzed
@given(st.binary(max_size=300))
def test_files_of_any_bytes(tmp_path, content):
    for suffix in ("json", "jsonl", "csv", "parquet", "tar"):
        for file in tmp_path.glob("rows.*"):
            file.unlink()
        (tmp_path / f"rows.{suffix}").write_bytes(content)
        read("webdataset" if suffix == "tar" else "generic", tmp_path)
