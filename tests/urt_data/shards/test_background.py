"""A shard that a thread writes gives the same bytes, and its errors reach the caller."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_data.conftest import image_record, write
from urt_core.errors import MediaError
from urt_core.records import Media, MediaKind, PreferenceRecord
from urt_data.shards.background import RECORDS_AHEAD, BackgroundShard
from urt_data.shards.index import ShardEntry
from urt_data.shards.open_shard import OpenShard


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


def entry_of(folder: Path, records: list[PreferenceRecord], *, in_background: bool) -> ShardEntry:
    path = folder / "shard-000000.tar"
    if not in_background:
        shard = OpenShard(path)
        for record in records:
            shard.write(record)
        return shard.finish()
    with ThreadPoolExecutor(max_workers=1) as pool:
        behind = BackgroundShard(path, pool)
        for record in records:
            behind.write(record)
        assert (behind.name, behind.num_samples) == (path.name, len(records))
        behind.finish()
        return behind.entry()


def test_the_thread_writes_what_this_one_would(tmp_path):
    records = [image_record(number) for number in range(2 * RECORDS_AHEAD)]
    made = {}
    for in_background in (False, True):
        folder = tmp_path / str(in_background)
        folder.mkdir()
        entry = entry_of(folder, records, in_background=in_background)
        made[in_background] = (entry, {path.name: path.read_bytes() for path in folder.iterdir()})
    assert made[True] == made[False]


def test_an_abandoned_shard_leaves_nothing(tmp_path):
    with ThreadPoolExecutor(max_workers=1) as pool:
        shard = BackgroundShard(tmp_path / "shard-000000.tar", pool)
        shard.write(image_record(0))
        shard.abort()
    assert list(tmp_path.iterdir()) == []
