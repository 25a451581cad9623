"""MM-RLHF-RewardBench: the better and a worse answer about an image or a video, with reasons; evaluation only.

    {"id", "image": "short/a.jpg", "prompt", "chosen", "rejected", "chosen_reason", "rejected_reason"}
    {"id", "video": "video/clip7", ...}                                                     a folder of frames

Several rows share an `id`; it is kept as `item`, because Acc+ counts an item only where all its pairs are right. The
category is the first of mcq, long, short, safety and video in the path, as in the benchmark's script. The reasons are
not kept.
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.rows import Row
from urt_data.sources.source import Source

CATEGORIES = ("mcq", "long", "short", "safety", "video")


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    name = "image" if "image" in row else "video"
    path = row.text(name)
    read = folder.image if name == "image" else folder.video
    yield Pair(
        task=Task.IMAGE_UNDERSTANDING if name == "image" else Task.VIDEO_UNDERSTANDING,
        text=row.text("prompt").replace("<image>", "").strip(),
        first=row.text("chosen"),
        second=row.text("rejected"),
        media=read(path, name),
        preference=Preference.FIRST,
        notes={"item": row.get("id"), "category": next((word for word in CATEGORIES if word in path), None)},
    )


SOURCE = Source(
    name="mm_rlhf_rewardbench",
    repository="yifanzhang114/MM-RLHF-RewardBench",
    revision="julyanghar/MM-RLHF@94b5c293b6",
    licence="not verified",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_UNDERSTANDING, Task.VIDEO_UNDERSTANDING),
    files=("*.jsonl",),
    fields=("id", "image", "video", "prompt", "chosen", "rejected"),
    winner_first=True,
    evaluation_only=True,
    pairs=pairs,
)
