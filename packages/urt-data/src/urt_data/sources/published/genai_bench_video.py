"""GenAI-Bench, video generation: arena votes for the left or the right video, both or neither; evaluation only.

    published         {"prompt", "left_model", "left_video": address, "right_model", "right_video", "vote_type"}
    UnifiedReward's   {"id", "prompt", "video_left": "86aa.mp4", "video_right": "aadd.mp4", "vote_type": "rightvote"}

Videos published as addresses are looked up by their file name, in the input folder or below `videos`.
"""

from collections.abc import Iterator

from urt_core.records import Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.published.genai_bench_image import TIE_KINDS, VOTES
from urt_data.sources.rows import Row
from urt_data.sources.source import Source


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    yield Pair(
        task=Task.VIDEO_GENERATION,
        text=row.text("prompt"),
        first=_video(row, folder, "video_left" if "video_left" in row else "left_video"),
        second=_video(row, folder, "video_right" if "video_right" in row else "right_video"),
        preference=row.choice("vote_type", VOTES),
        models=(row.get("left_model"), row.get("right_model")),
        notes={"tie_kind": TIE_KINDS.get(row.text("vote_type"))},
    )


def _video(row: Row, folder: InputFolder, name: str) -> Content:
    value = row.text(name)
    return folder.video(value.split("/")[-1] if "://" in value else value, name, under=("", "videos"))


SOURCE = Source(
    name="genai_bench_video",
    repository="TIGER-Lab/GenAI-Bench",
    revision="CodeGoat24/UnifiedReward@ff6f520247",
    licence="not verified",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.VIDEO_GENERATION,),
    files=("video_generation/*.parquet", "*.parquet", "*.json"),
    fields=(
        "prompt",
        "left_model",
        "left_video",
        "right_model",
        "right_video",
        "video_left",
        "video_right",
        "vote_type",
    ),
    evaluation_only=True,
    pairs=pairs,
)
