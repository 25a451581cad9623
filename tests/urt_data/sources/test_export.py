"""Records -> official JSON and Parquet -> records."""

from pathlib import Path

from urt_core.prompts import Dialect
from urt_core.records import PreferenceRecord
from urt_data import sources
from urt_data.export import read_parquet, write_official_grpo, write_parquet


def test_every_source_survives_parquet_and_json(fixture, tmp_path: Path) -> None:
    conversion = sources.get(fixture.name, **fixture.options).records(fixture.input)
    records = [result for result in conversion if isinstance(result, PreferenceRecord)]
    write_parquet(records, tmp_path / "out" / "pairs.parquet")
    assert list(read_parquet(tmp_path / "out" / "pairs.parquet")) == records
    write_official_grpo(records, tmp_path / "out", dialect=Dialect.DIRECT)
    assert list(sources.get("official_grpo").records(tmp_path / "out")) == records
