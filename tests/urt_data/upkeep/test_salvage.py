"""Samples found again in files that nothing describes."""

import random

import pytest

from tests.urt_data.conftest import image_record, write
from urt_data.errors import ShardError
from urt_data.shards.tar import BLOCK
from urt_data.upkeep.salvage import salvage_records


@pytest.fixture
def shard(tmp_path):
    write(tmp_path / "pairs", [image_record(n) for n in range(8)])
    return tmp_path / "pairs" / "shard-000000.tar"


def keys(*paths, decode: bool = True) -> list[str]:
    return [record.key for record in salvage_records(paths, decode=decode)]


def test_a_whole_shard_gives_all_of_it_and_a_second_copy_nothing_more(shard):
    assert keys(shard, shard) == keys(shard) == [f"pair-{n}" for n in range(8)]


def test_a_damaged_header_costs_its_own_sample(shard):
    content = bytearray(shard.read_bytes())
    at = content.index(b"pair-3.json")
    content[at : at + BLOCK] = random.Random(0).randbytes(BLOCK)
    shard.write_bytes(content)
    assert keys(shard) == [f"pair-{n}" for n in range(8) if n != 3]


def test_a_start_that_is_gone_costs_what_was_in_it(shard):
    content = shard.read_bytes()
    shard.write_bytes(content[content.index(b"pair-2.first") :])  # no longer on a border of blocks of the whole
    found = keys(shard)
    assert found == [f"pair-{n}" for n in range(3, 8)]


def test_a_picture_that_does_not_decode_is_left_behind_where_pictures_are_decoded(shard):
    content = bytearray(shard.read_bytes())
    at = content.index(b"IDAT") + 6
    content[at : at + 8] = b"\xff" * 8
    shard.write_bytes(content)
    assert keys(shard) == [f"pair-{n}" for n in range(1, 8)]
    assert keys(shard, decode=False) == [f"pair-{n}" for n in range(8)]


def test_of_a_cut_file_what_is_whole(shard):
    content = shard.read_bytes()
    shard.write_bytes(content[: content.index(b"pair-5.second") + 700])
    assert keys(shard) == [f"pair-{n}" for n in range(5)]


def test_a_link_is_not_read(tmp_path, shard):
    (tmp_path / "link.tar").symlink_to(shard)
    with pytest.raises(ShardError, match="is a link"):
        keys(tmp_path / "link.tar")
