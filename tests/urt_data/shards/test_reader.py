"""Records by position, each proven before it is returned."""

import pickle
from pathlib import Path

import pytest

from tests.urt_data.conftest import png, write
from urt_data import Check, ShardFolder
from urt_data.errors import SampleError, ShardError


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


def test_positions_are_those_of_the_shards_one_behind_the_other(folder_of):
    folder = folder_of(20, samples_per_shard=7)
    assert folder.shard_starts.tolist() == [0, 7, 14, 20]
    assert [folder[n].key for n in (0, 6, 7, 19, -1)] == ["pair-0", "pair-6", "pair-7", "pair-19", "pair-19"]
    assert [record.key for record in folder[12:16]] == ["pair-12", "pair-13", "pair-14", "pair-15"]
    assert [record.key for record in folder] == [f"pair-{n}" for n in range(20)]
    assert folder.read(2, 3).key == "pair-17"
    with pytest.raises(IndexError, match="position 20 of 20 records"):
        folder[20]


@pytest.mark.parametrize(("check", "is_found"), [("crc32", True), ("sha256", True), ("none", False)])
def test_a_flipped_bit_of_a_picture_is_found_by_what_is_compared(tmp_path, folder_of, check, is_found):
    folder_of(3)
    path = tmp_path / "pairs" / "shard-000000.tar"
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 1
    path.write_bytes(content)
    folder = ShardFolder(tmp_path / "pairs", check=Check(check))
    if is_found:
        with pytest.raises(
            SampleError, match=rf"shard-000000.tar, sample pair-0: its bytes do not match their {check}"
        ):
            folder[0]
    else:
        assert folder[0].key == "pair-0"
    assert folder[1].key == "pair-1"


def test_a_shard_that_was_cut_off_says_how_much_is_there(tmp_path, folder_of):
    folder = folder_of(3)
    path = tmp_path / "pairs" / "shard-000000.tar"
    start, size = int(folder.index(0).offsets[2]), int(folder.index(0).sizes[2])
    with path.open("r+b") as file:
        file.truncate(start + 512)
    with pytest.raises(SampleError, match=rf"sample pair-2: only 512 of {size:,} bytes are there"):
        folder[2]


def test_an_index_of_another_shard_is_refused(tmp_path, folder_of):
    folder_of(14, samples_per_shard=7)
    first, second = (tmp_path / "pairs" / f"shard-00000{n}.tar.idx.json" for n in range(2))
    first.write_bytes(second.read_bytes())
    with pytest.raises(ShardError, match=r"shard-000000.tar.idx.json does not match the sha256 in the manifest"):
        ShardFolder(tmp_path / "pairs")[0]


def test_members_are_the_bytes_of_the_sample(folder_of):
    members = folder_of(2).read_members(0, 1)
    assert members.keys() == {"json", "first.png", "second.png"}
    assert members["first.png"] == png("pair", 1, "left")


def test_a_copy_for_a_worker_reads_the_same(folder_of):
    folder = folder_of(9, samples_per_shard=4)
    assert folder[8].key == "pair-8"
    copy = pickle.loads(pickle.dumps(folder))  # noqa: S301  (bytes of this line)
    folder.close()
    assert [record.key for record in copy] == [record.key for record in folder]
