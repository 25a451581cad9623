"""A picture of pairs with their labels, to look at: would a person agree?

python -m urt_data.sprites.contact_sheet outputs/contact_sheet.png 4
"""

import sys

from PIL import Image, ImageDraw

from urt_core import PreferenceRecord, Task
from urt_core.media import MediaPolicy, load_frames
from urt_core.records import Media
from urt_data.sprites.draw import FRAME_SIZE, IMAGE_SIZE, NUM_FRAMES
from urt_data.sprites.pairs import pairs
from urt_data.sprites.world import Split

SCALE = 3
MARGIN = 12
ROW_HEIGHT = IMAGE_SIZE[1] * SCALE + 78
COLUMN_WIDTH = 640
POLICY = MediaPolicy(
    min_pixels=FRAME_SIZE[0] * FRAME_SIZE[1], max_pixels=IMAGE_SIZE[0] * IMAGE_SIZE[1], num_frames=NUM_FRAMES
)


def _paste(sheet: Image.Image, media: Media, x: int, y: int) -> int:
    """Draws the frames side by side, enlarged without smoothing; returns the x behind them."""
    scale = SCALE if len(media.files) == 1 else SCALE / 2
    for frame in load_frames(media, POLICY):
        enlarged = frame.resize((int(frame.width * scale), int(frame.height * scale)), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (x, y))
        x += enlarged.width + 3
    return x


def contact_sheet(records: list[PreferenceRecord]) -> Image.Image:
    """Two pairs a row: media, caption or question with answers, label and cause."""
    rows = (len(records) + 1) // 2
    sheet = Image.new("RGB", (2 * COLUMN_WIDTH, rows * ROW_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for index, record in enumerate(records):
        left, top = index % 2 * COLUMN_WIDTH + MARGIN, index // 2 * ROW_HEIGHT + MARGIN
        x = left
        for media in (record.first, record.second, record.media):
            if isinstance(media, Media):
                x = _paste(sheet, media, x, top) + 3 * MARGIN
        lines = [record.text]
        if isinstance(record.first, str):
            lines.append(f"1: {record.first}   2: {record.second}")
        lines.append(f"better: {record.preference}   cause: {record.metadata['cause']}")
        draw.multiline_text((left, top + IMAGE_SIZE[1] * SCALE + 6), "\n".join(lines), fill="black")
    return sheet


if __name__ == "__main__":
    file, number = sys.argv[1], int(sys.argv[2])
    contact_sheet([record for task in Task for record in pairs(task, number, split=Split.TRAIN, seed=0)]).save(file)
