"""A record as the members of one sample, and back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.urt_data.conftest import as_media, image_record, write
from urt_core.records import Media, MediaKind, PreferenceRecord, Task
from urt_data.errors import ShardError
from urt_data.shards.sample import from_members, to_members
from urt_data.shards.tar import pack_sample, split_sample


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


def test_media_without_bytes_are_read_from_their_paths(tmp_path):
    record = image_record(0)
    (tmp_path / "a.png").write_bytes(as_media(record.first).data[0])
    on_disk = replace(record, first=Media(kind=MediaKind.IMAGE, files=(str(tmp_path / "a.png"),)))
    assert write(tmp_path / "pairs", [on_disk])[0].first.data == as_media(record.first).data


@pytest.mark.parametrize("name", ["a.pyd", "a.pth", "a", "a.json", "a.tar"])
def test_only_media_suffixes_are_stored(tmp_path, name):
    record = replace(image_record(0), first=Media(kind=MediaKind.IMAGE, files=(name,), data=(b"x",)))
    with pytest.raises(ShardError, match=r"allowed: avi, bmp"):
        write(tmp_path / "pairs", [record])


def test_members_are_what_the_record_names(tmp_path, folder_of):
    members = folder_of(3).read_members(0, 1)
    assert list(members) == ["json", "first.png", "second.png"]
    assert json.loads(members["json"])["first"] == {"kind": "image", "files": ["first.png"]}
