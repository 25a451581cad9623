"""Converted sets as shards: nothing is lost, provenance is in the manifest, and licences hold."""

from pathlib import Path

import pytest

from urt_core.records import PreferenceRecord
from urt_data import ShardFolder, ShardWriter, sources
from urt_data.errors import LicenceError
from urt_data.licences import check_licences


def shards_of(fixture, folder: Path) -> tuple[list[PreferenceRecord], ShardFolder]:
    conversion = sources.get(fixture.name, **fixture.options).records(fixture.input)
    records = [result for result in conversion if isinstance(result, PreferenceRecord)]
    with ShardWriter(folder, samples_per_shard=2) as shards:
        for record in records:
            shards.write(record)
    return records, ShardFolder(folder)


def test_every_source_survives_shards_with_its_provenance(fixture, tmp_path: Path) -> None:
    records, folder = shards_of(fixture, tmp_path / "shards")
    assert list(folder) == records
    for row in folder.manifest["provenance"]:
        source = sources.get(fixture.name, **fixture.options)
        assert row["source"] == source.name
        assert row["licence"] == source.licence
        assert row["commercial_ok"] is source.commercial_ok


@pytest.mark.parametrize("name", [name for name in sources.SOURCES if sources.get(name).evaluation_only])
def test_benchmarks_cannot_be_trained_on(fixture_named, tmp_path: Path, name: str) -> None:
    _, folder = shards_of(fixture_named(name), tmp_path / "shards")
    with pytest.raises(LicenceError, match="for evaluation only"):
        check_licences([folder], allow_noncommercial=True, allow_evaluation=False)
    check_licences([folder], allow_noncommercial=True, allow_evaluation=True)


def test_non_commercial_data_need_a_word_of_consent(fixture_named, tmp_path: Path) -> None:
    _, folder = shards_of(fixture_named("rlaif_v"), tmp_path / "shards")
    with pytest.raises(LicenceError, match=r"rlaif_v with licence 'CC-BY-NC-4\.0'"):
        check_licences([folder], allow_noncommercial=False, allow_evaluation=False)
    check_licences([folder], allow_noncommercial=True, allow_evaluation=False)
