"""A manifest made again from the shards, which have to hold records."""

import json
from pathlib import Path

import pytest

from tests.urt_data.conftest import answer_record, image_record, write
from urt_data import ShardFolder
from urt_data.errors import ShardError
from urt_data.indexing import index_folder
from urt_data.shards.index import MANIFEST_NAME


@pytest.fixture
def sound(tmp_path) -> ShardFolder:
    records = [image_record(number) if number % 3 else answer_record(number) for number in range(20)]
    return write(tmp_path / "sound", records, samples_per_shard=4)


def test_a_lost_manifest_is_rebuilt_from_the_shards(sound):
    expected = Path(sound.folder, MANIFEST_NAME).read_bytes()
    indexes = {path.name: path.read_bytes() for path in Path(sound.folder).glob("*.idx.json")}
    for path in Path(sound.folder).glob("*.json"):
        path.unlink()
    index_folder(sound.folder)
    assert Path(sound.folder, MANIFEST_NAME).read_bytes() == expected
    assert {path.name: path.read_bytes() for path in Path(sound.folder).glob("*.idx.json")} == indexes


def test_indexing_refuses_what_is_no_record(tmp_path, folder_of):
    folder = folder_of(3)
    members = folder.read_members(0, 1)
    from urt_data.shards.tar import END_OF_ARCHIVE, pack_sample

    document = json.dumps({**json.loads(members["json"]), "task": "poetry"}).encode()
    packed = b"".join(pack_sample("pair-1", {**members, "json": document}.items()))
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "a.tar").write_bytes(packed + END_OF_ARCHIVE)
    with pytest.raises(ShardError, match=r"a\.tar, sample pair-1: pair-1\.json is not a preference record.*poetry"):
        index_folder(tmp_path / "foreign")
    with pytest.raises(ShardError, match=r"holds no \.tar file"):
        index_folder(tmp_path)
