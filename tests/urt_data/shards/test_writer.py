"""Records come back as they were, the same input gives the same bytes, and nothing unfinished is read."""

import os
import tarfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.urt_data.conftest import answer_record, as_media, image_record, write
from urt_data import ShardFolder, ShardWriter
from urt_data.errors import ShardError
from urt_data.shards.tar import canonical_header


def test_records_come_back_with_their_bytes(tmp_path):
    records = [image_record(0), answer_record(1), image_record(2)]
    folder = write(tmp_path / "pairs", records, samples_per_shard=2, metadata={"source": "test"})
    read = list(folder)
    assert [record.key for record in read] == ["pair-0", "clip-1", "pair-2"]
    assert read[0] == replace(
        records[0],
        first=replace(as_media(records[0].first), files=("first.png",)),
        second=replace(as_media(records[0].second), files=("second.png",)),
    )
    assert as_media(read[1].media).files == ("media.f00.png", "media.f01.png", "media.f02.png")
    assert as_media(read[1].media).data == as_media(records[1].media).data
    assert (read[1].completion, read[1].second) == (records[1].completion, "It falls ö.")
    assert folder[-1] == read[2]
    assert folder[0:2] == read[:2]
    assert folder.manifest["tasks"] == {"image_generation": 2, "video_understanding": 1}
    assert folder.manifest["preferences"] == {"first": 1, "second": 1, "tie": 1}
    assert folder.metadata == {"source": "test"}


@given(name=st.from_regex(r"[a-z0-9-]{1,64}\.[a-z0-9.]{1,35}", fullmatch=True), size=st.integers(0, 8**11 - 1))
@settings(max_examples=100, deadline=None)
def test_headers_are_those_of_the_standard_library(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    assert canonical_header(name.encode(), size) == info.tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("num_threads", [0, 1, 3])
def test_same_records_same_bytes(tmp_path, num_threads):
    def files(name: str, num_threads: int = 0) -> dict[str, bytes]:
        records = map(image_record, range(30))
        write(tmp_path / name, records, samples_per_shard=4, metadata={"b": 1, "a": 2}, num_threads=num_threads)
        return {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}

    assert files("one") == files("two", num_threads)


@pytest.mark.parametrize("num_threads", [0, 2])
def test_an_error_leaves_no_manifest_and_no_temporary_file(tmp_path, num_threads):
    def records():
        yield from map(image_record, range(3))
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write(tmp_path, records(), samples_per_shard=2, num_threads=num_threads)
    assert sorted(os.listdir(tmp_path)) == ["shard-000000.tar", "shard-000000.tar.idx.json"]
    with pytest.raises(ShardError, match="holds no finished data set"):
        ShardFolder(tmp_path)


def test_a_shorter_run_removes_the_shards_of_a_longer_one(tmp_path, folder_of):
    folder_of(20)
    with pytest.raises(ShardError, match="overwrite=True"):
        ShardWriter(tmp_path / "pairs")
    assert len(folder_of(5, overwrite=True)) == 5
    assert len(list((tmp_path / "pairs").glob("*.tar"))) == 1


@pytest.mark.parametrize("num_threads", [0, 2])
@pytest.mark.parametrize("numbers", [(0, 0), (0, 1, 2, 0)], ids=["in one shard", "in two shards"])
def test_keys_are_unique(tmp_path, numbers, num_threads):
    with pytest.raises(ShardError, match="unique in"):
        write(tmp_path / "pairs", map(image_record, numbers), samples_per_shard=2, num_threads=num_threads)
    assert not (tmp_path / "pairs" / "manifest.json").exists()
