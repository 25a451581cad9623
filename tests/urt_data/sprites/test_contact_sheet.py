from urt_core import Task
from urt_data.sprites import Split, pairs
from urt_data.sprites.contact_sheet import COLUMN_WIDTH, ROW_HEIGHT, contact_sheet


def test_two_pairs_to_a_row_and_none_is_blank():
    records = [record for task in Task for record in pairs(task, 1, split=Split.TRAIN, seed=0)]
    sheet = contact_sheet(records)
    assert sheet.size == (2 * COLUMN_WIDTH, 2 * ROW_HEIGHT)
    for index in range(4):
        x, y = index % 2 * COLUMN_WIDTH, index // 2 * ROW_HEIGHT
        assert len(set(sheet.crop((x, y, x + COLUMN_WIDTH, y + ROW_HEIGHT)).get_flattened_data())) > 20
