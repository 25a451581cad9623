"""Splits of the world: as many pairs of each task as asked for, in turn."""

from urt_core import Task
from urt_data.sprites import Split, build_split, pairs

COUNTS: dict[Task | str, int] = {Task.IMAGE_GENERATION: 4, Task.IMAGE_UNDERSTANDING: 2, Task.VIDEO_GENERATION: 1}


def test_tasks_take_turns_until_each_has_its_number() -> None:
    built = list(build_split("train", COUNTS, seed=0))
    image, answer, video = COUNTS
    assert [record.task for record in built] == [image, answer, video, image, answer, image, image]
    assert len({record.key for record in built}) == 7


def test_records_are_those_of_the_task_alone() -> None:
    built = list(build_split(Split.TEST, COUNTS, seed=3))
    for task, number in COUNTS.items():
        alone = list(pairs(Task(task), number, split=Split.TEST, seed=3))
        assert [record for record in built if record.task is task] == alone
    assert [record.text for record in build_split("test", COUNTS, seed=4)] != [record.text for record in built]
