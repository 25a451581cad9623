"""ShareGPTVideo-DPO (LLaVA-Hound): the better and the worse of two answers about a video, by a language model's scores.

    {"id", "video": "v_abc", "prompt": "<video>\\nWhy?", "chosen", "rejected", "chosen_score": 5, "rejected_score": 2}

A video is a folder of frames, or a folder inside a tar file (`train_300k/chunk_0.tar.gz`), read without unpacking it.
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, compare
from urt_data.sources.rows import FieldError, Row
from urt_data.sources.source import Source


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    scores = (row.real("chosen_score"), row.real("rejected_score")) if "chosen_score" in row else None
    if scores and scores[0] < scores[1]:
        raise FieldError("chosen_score", f"is {scores[0]:g}, below rejected_score {scores[1]:g}")
    yield Pair(
        task=Task.VIDEO_UNDERSTANDING,
        text=row.text("prompt").replace("<video>", "").replace("<image>", "").strip(),
        first=row.text("chosen"),
        second=row.text("rejected"),
        media=folder.video(row.text("video"), "video", under=("", "train_300k", "frames", "videos")),
        preference=compare(*scores) if scores else Preference.FIRST,
        scores={"quality": scores} if scores else {},
    )


SOURCE = Source(
    name="sharegptvideo_dpo",
    repository="ShareGPTVideo/train_video_and_instruction",
    revision="RifleZhang/LLaVA-Hound-DPO@ec2381f6bd",
    licence="not stated",
    commercial_ok=False,
    label_origin=LabelOrigin.MODEL,
    tasks=(Task.VIDEO_UNDERSTANDING,),
    files=("**/*dpo*.jsonl",),
    fields=("video", "prompt", "chosen", "rejected", "chosen_score", "rejected_score"),
    winner_first=True,
    pairs=pairs,
)
