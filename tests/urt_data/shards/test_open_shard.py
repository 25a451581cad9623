"""One shard while it is written: whole under its name, or not there."""

import json
from pathlib import Path

import pytest

from tests.urt_data.conftest import image_record
from urt_data.errors import ShardError
from urt_data.shards.index import sha256
from urt_data.shards.open_shard import OpenShard, index_path
from urt_data.shards.tar import scan_tar


def keys_in(path: Path) -> list[str]:
    with path.open("rb") as file:
        return [sample.key for sample in scan_tar(file, file_size=path.stat().st_size)]


def test_a_shard_has_its_name_when_it_is_finished_and_its_entry_is_true(tmp_path):
    path = tmp_path / "shard-000003.tar"
    shard = OpenShard(path)
    for number in range(3):
        shard.write(image_record(number))
    assert shard.num_samples == 3
    assert not path.exists()
    entry = shard.finish()
    content = path.read_bytes()
    assert (entry.name, entry.num_samples, entry.num_bytes) == (path.name, 3, len(content))
    assert entry.sha256 == sha256(content)
    assert entry.index_sha256 == sha256(index_path(path).read_bytes())
    assert json.loads(index_path(path).read_bytes())["keys"] == ["pair-0", "pair-1", "pair-2"]
    assert sorted(file.name for file in tmp_path.iterdir()) == [path.name, f"{path.name}.idx.json"]
    assert keys_in(path) == ["pair-0", "pair-1", "pair-2"]


def test_a_record_that_cannot_be_written_leaves_no_half_sample(tmp_path):
    path = tmp_path / "shard-000000.tar"
    shard = OpenShard(path)
    shard.write(image_record(0))
    with pytest.raises(ShardError, match=r"key 'pair-0' appears twice in shard-000000.tar"):
        shard.write(image_record(0))
    shard.write(image_record(1))
    assert shard.finish().num_samples == 2
    assert keys_in(path) == ["pair-0", "pair-1"]


def test_what_is_given_up_leaves_nothing(tmp_path):
    shard = OpenShard(tmp_path / "shard-000000.tar")
    shard.write(image_record(0))
    shard.abort()
    shard.abort()
    assert list(tmp_path.iterdir()) == []
