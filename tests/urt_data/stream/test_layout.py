"""Places of a folder before its repair, and what stands in them."""

import numpy as np

from tests.urt_data.conftest import answer_record, image_record, write
from tests.urt_data.stream.test_preference_stream import damage
from urt_data import ShardFolder
from urt_data.stream.layout import Layout
from urt_data.upkeep.repair import repair


def test_a_whole_folder_has_the_places_of_its_samples(folder_of):
    folder = folder_of(10)
    layout = Layout(folder)
    assert layout.counts(None) == layout.counts("image_generation") == [7, 3]
    assert dict(layout.tasks) == {"image_generation": 10}
    assert layout.read(1, 2).key == "pair-9"
    assert layout.excluded(1, 2) is None


def test_places_of_a_repaired_folder_are_those_of_the_damaged_one(tmp_path):
    """Two samples of either task are gone from the first shard; the places of all others, by task too, stay."""
    records = [image_record(number) if number % 3 else answer_record(number) for number in range(10)]
    damaged = write(tmp_path / "damaged", records, samples_per_shard=7)
    before = Layout(damaged)
    rows = {task: before.rows_of(0, task) for task in before.tasks}
    for position in (0, 4):
        damage(damaged, position)
    repair(damaged.folder, tmp_path / "whole")
    after = Layout(ShardFolder(tmp_path / "whole"))
    assert after.tasks == before.tasks
    for task, expected in rows.items():
        assert np.array_equal(after.rows_of(0, task), expected)
        assert after.counts(task) == before.counts(task)
    gone = {row: sample.key for row in range(7) if (sample := after.excluded(0, row))}
    assert gone == {0: "clip-0", 4: "pair-4"}
    assert [after.read(0, row).key for row in range(7) if row not in gone] == [
        record.key for row, record in enumerate(records[:7]) if row not in gone
    ]
