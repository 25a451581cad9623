"""A damaged folder is repaired to what is proven, and to more only where that is said."""

from pathlib import Path

import pytest

from tests.urt_data.conftest import answer_record, image_record, write
from urt_data import ShardFolder
from urt_data.errors import ShardError
from urt_data.repair import repair
from urt_data.shards.index import MANIFEST_NAME
from urt_data.verify import verify


@pytest.fixture
def sound(tmp_path) -> ShardFolder:
    records = [image_record(number) if number % 3 else answer_record(number) for number in range(20)]
    return write(tmp_path / "sound", records, samples_per_shard=4)


def test_repair_keeps_what_is_proven(sound, tmp_path):
    path = Path(sound.folder, "shard-000003.tar")
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)
    report = repair(sound.folder, tmp_path / "repaired")
    assert (report.num_kept, report.num_unproven) == (19, 0)
    lost = sound.index(3).keys[0]
    repaired = ShardFolder(tmp_path / "repaired")
    assert [record.key for record in repaired] == [
        key for shard in range(5) for key in sound.index(shard).keys if key != lost
    ]
    assert verify(repaired.folder).is_sound
    with pytest.raises(ShardError, match="choose another one"):
        repair(sound.folder, sound.folder)


def test_repair_without_an_index_uses_the_shard_hash(sound, tmp_path):
    Path(sound.folder, "shard-000003.tar.idx.json").unlink()
    assert repair(sound.folder, tmp_path / "repaired").num_kept == 20


def test_repair_of_unproven_samples_is_a_choice(sound, tmp_path):
    Path(sound.folder, MANIFEST_NAME).unlink()
    path = Path(sound.folder, "shard-000003.tar")
    content = bytearray(path.read_bytes())
    content[sound.index(3).offsets[2] + 3] ^= 4  # the name in a header: its checksum fails
    path.write_bytes(content)
    assert repair(sound.folder, tmp_path / "strict").num_kept == 0
    report = repair(sound.folder, tmp_path / "lenient", keep_unproven=True)
    assert (report.num_kept, report.num_unproven) == (19, 19)
