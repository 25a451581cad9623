"""Rows of tables: CSV, Parquet and Arrow, the wanted columns in batches."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.urt_data.sources.reading.row_lists import rows_of
from urt_data.sources.rows import read_rows


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
