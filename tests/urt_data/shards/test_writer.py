"""Records come back as they were, the same input gives the same bytes, and nothing unfinished is read."""

import json
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.urt_data.conftest import answer_record, as_media, image_record, write
from urt_core.errors import MediaError
from urt_core.records import Media, MediaKind, PreferenceRecord, Task
from urt_data import ShardFolder, ShardWriter
from urt_data.errors import ShardError
from urt_data.shards.sample import from_members, to_members
from urt_data.shards.tar import canonical_header, pack_sample, split_sample


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


def test_an_edit_comes_back_with_its_source(tmp_path):
    plain = image_record(0)
    edit = replace(plain, key="edit-1", source=Media(kind=MediaKind.IMAGE, files=("original.png",), data=(b"source",)))
    folder = write(tmp_path / "edits", [plain, edit])
    read = list(folder)
    assert as_media(read[1].source).data == (b"source",)
    assert as_media(read[1].source).files == ("source.png",)
    assert read[1].is_edit
    assert read[0].source is None


@given(
    text=st.text(),
    metadata=st.dictionaries(
        st.text(), st.one_of(st.none(), st.integers(-(2**60), 2**60), st.text(), st.lists(st.floats(-1, 1)))
    ),
    files=st.lists(
        st.tuples(st.sampled_from(["png", "JPG", "webp"]), st.binary(max_size=2000)), min_size=2, max_size=12
    ),
)
@settings(max_examples=50, deadline=None)
def test_any_record_survives_packing(text, metadata, files):
    media = Media(
        kind=MediaKind.VIDEO,
        files=tuple(f"folder/x.{suffix}" for suffix, _ in files),
        data=tuple(data for _, data in files),
    )
    record = PreferenceRecord(
        key="k", task=Task.VIDEO_GENERATION, text=text, first=media, second=media, metadata=metadata
    )
    packed = b"".join(pack_sample(record.key, to_members(record)))
    read = from_members(split_sample(packed, key="k"), key="k")
    assert (read.text, read.metadata, as_media(read.first).data, as_media(read.second).data) == (
        text,
        metadata,
        media.data,
        media.data,
    )
    assert b"".join(pack_sample(read.key, to_members(read))) == packed


@given(name=st.from_regex(r"[a-z0-9-]{1,64}\.[a-z0-9.]{1,35}", fullmatch=True), size=st.integers(0, 8**11 - 1))
@settings(max_examples=100, deadline=None)
def test_headers_are_those_of_the_standard_library(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    assert canonical_header(name.encode(), size) == info.tobuf(tarfile.USTAR_FORMAT)


def test_media_without_bytes_are_read_from_their_paths(tmp_path):
    record = image_record(0)
    (tmp_path / "a.png").write_bytes(as_media(record.first).data[0])
    on_disk = replace(record, first=Media(kind=MediaKind.IMAGE, files=(str(tmp_path / "a.png"),)))
    assert write(tmp_path / "pairs", [on_disk])[0].first.data == as_media(record.first).data


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


@pytest.mark.parametrize("bad", [0, 5, 70])
def test_an_error_of_a_writing_thread_reaches_the_caller(tmp_path, bad):
    def records():
        for number in range(100):
            record = image_record(number)
            yield (
                record if number != bad else replace(record, first=Media(kind=MediaKind.IMAGE, files=("nowhere.png",)))
            )

    with pytest.raises(MediaError, match=r"nowhere\.png"):
        write(tmp_path / "pairs", records(), samples_per_shard=60, num_threads=2)
    assert not list((tmp_path / "pairs").glob("*manifest*"))
    assert not list((tmp_path / "pairs").glob("*.partial"))


@pytest.mark.parametrize("name", ["a.pyd", "a.pth", "a", "a.json", "a.tar"])
def test_only_media_suffixes_are_stored(tmp_path, name):
    record = replace(image_record(0), first=Media(kind=MediaKind.IMAGE, files=(name,), data=(b"x",)))
    with pytest.raises(ShardError, match=r"allowed: avi, bmp"):
        write(tmp_path / "pairs", [record])


def test_an_empty_folder_is_a_data_set_of_nothing(tmp_path):
    folder = write(tmp_path / "pairs", [])
    assert (len(folder), list(folder)) == (0, [])


def test_opening_reads_the_manifest_alone(tmp_path, folder_of):
    folder_of(20)
    for path in Path(tmp_path / "pairs").glob("shard-*"):
        path.unlink()
    folder = ShardFolder(tmp_path / "pairs")
    assert len(folder) == 20
    with pytest.raises(ShardError, match=r"shard-000000.tar.idx.json does not exist"):
        folder[0]


def test_members_are_what_the_record_names(tmp_path, folder_of):
    members = folder_of(3).read_members(0, 1)
    assert list(members) == ["json", "first.png", "second.png"]
    assert json.loads(members["json"])["first"] == {"kind": "image", "files": ["first.png"]}
