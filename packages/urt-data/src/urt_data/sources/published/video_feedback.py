"""VideoFeedback: videos as frames, each marked 1 to 4 on five questions; one row per video, column names with spaces.

    {"id", "images": ["p110367_00.jpg", ...], "text prompt", "visual quality": 3, "temporal consistency": 3,
     "dynamic degree": 3, "text-to-video alignment": 2, "factual consistency": 2, "video link", "conversations"}

The mean of the five marks orders the videos of one prompt; by default the best stands against the worst
(`pairing="all"` makes every pair). Frames lie below `images/<video>/` or `frames/<video>/`, as the authors' script
unpacks them, or beside the rows.
"""

from urt_core.records import Task
from urt_data.sources.pair import LabelOrigin, split_of
from urt_data.sources.ranking import Member
from urt_data.sources.rows import FieldError, Row
from urt_data.sources.source import Source

QUESTIONS = (
    "visual quality",
    "temporal consistency",
    "dynamic degree",
    "text-to-video alignment",
    "factual consistency",
)


def member(row: Row) -> Member:
    frames = row.items("images")
    if not frames or not all(isinstance(frame, str) for frame in frames):
        raise FieldError("images", "is not a list of frame names")
    video = frames[0].split("/")[-1].split("_")[0]
    scores = {question: row.real(question) for question in QUESTIONS}
    for question, mark in scores.items():
        if not 1 <= mark <= 4:
            raise FieldError(question, f"is {mark:g}; marks go from 1 to 4")
    return Member(
        group=row.text("text prompt"),
        task=Task.VIDEO_GENERATION,
        text=row.text("text prompt"),
        medium=list(frames),
        scores=scores,
        split=split_of(row.file),
        under=(f"images/{video}", f"frames/{video}", video, "images", ""),
    )


SOURCE = Source(
    name="video_feedback",
    repository="TIGER-Lab/VideoFeedback",
    revision="TIGER-AI-Lab/VideoScore@8e449734bb",
    licence="Apache-2.0",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.VIDEO_GENERATION,),
    files=("**/*.parquet", "**/data_*.json"),
    fields=("images", "text prompt", *QUESTIONS),
    winner_first=True,
    options=("pairing",),
    pairing="extremes",
    member=member,
)
