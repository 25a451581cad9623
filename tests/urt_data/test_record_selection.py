"""Records chosen by task and by key, without reading the others."""

import pytest

from urt_core import Preference, PreferenceRecord, Task
from urt_core.errors import DataError
from urt_data.record_selection import JoinedRecords, records_by_key, select_tasks
from urt_data.shards import ShardFolder, ShardWriter


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> ShardFolder:
    from urt_core import Media, MediaKind

    path = tmp_path_factory.mktemp("pairs")
    picture = Media(kind=MediaKind.IMAGE, files=("media.png",), data=(b"\x89PNG not decoded here",))
    video = Media(kind=MediaKind.VIDEO, files=("media.f00.png",), data=(b"\x89PNG",))
    with ShardWriter(path, samples_per_shard=3) as shards:
        for number in range(8):
            task, media = (Task.IMAGE_UNDERSTANDING, picture) if number % 2 else (Task.VIDEO_UNDERSTANDING, video)
            shards.write(
                PreferenceRecord(
                    key=f"pair-{number}",
                    task=task,
                    text="?",
                    first="a",
                    second="b",
                    media=media,
                    preference=Preference.FIRST,
                )
            )
    return ShardFolder(path)


def keys(records):
    return [record.key for record in records]


def test_the_first_of_each_task_in_the_order_of_the_folder(folder):
    chosen = select_tasks(folder, tasks=["image_understanding", "video_understanding"], per_task=2)
    assert keys(chosen) == ["pair-0", "pair-1", "pair-2", "pair-3"]
    assert keys(select_tasks(folder, tasks=[Task.IMAGE_UNDERSTANDING])) == ["pair-1", "pair-3", "pair-5", "pair-7"]
    assert keys(chosen[1:3]) == ["pair-1", "pair-2"]
    assert chosen[-1].key == "pair-3"
    assert keys(chosen.grouped_by_task()) == ["pair-1", "pair-3", "pair-0", "pair-2"]


def test_records_by_key(folder):
    assert keys(records_by_key(folder, {"pair-6", "pair-1"}).values()) == ["pair-1", "pair-6"]
    with pytest.raises(DataError, match="no record 'other'"):
        records_by_key(folder, {"pair-1", "other"})


def test_a_task_that_the_folder_lacks_is_named_with_what_it_holds(folder):
    with pytest.raises(
        DataError, match="no record of image_generation; it holds: image_understanding, video_understanding"
    ):
        select_tasks(folder, tasks=["image_generation"])


def test_joined_records_are_those_of_their_parts():
    parts = ["ab", "", "cde"]
    joined = JoinedRecords(parts)  # pyright: ignore[reportArgumentType] any sequences
    assert len(joined) == 5
    assert list(joined) == list("abcde")
    assert [joined[place] for place in (0, 1, 2, 4, -1, -5)] == list("abceea")
    assert joined[1:4] == list("bcd")
    with pytest.raises(IndexError):
        joined[5]
    assert len(JoinedRecords([])) == 0
