"""LiFT-HRA: videos judged Good, Normal or Bad on three questions, with a reason; one row per video and question.

    {"video": "videos/0001.mp4", "conversations": [
        {"from": "human", "value": "<video>\\n {caption} Please identify the motion issues in this video, ..."},
        {"from": "gpt", "value": "Bad. The arm bends backwards."}]}

The rows of a video are joined; the mean of Good = 2, Normal = 1, Bad = 0 orders the videos of one caption, best against
worst by default. The reasons are not kept: they speak of one video only.
"""

import re

from urt_core.records import Task
from urt_data.sources.pair import LabelOrigin
from urt_data.sources.ranking import Member
from urt_data.sources.rows import FieldError, Row
from urt_data.sources.source import Source

QUESTION = re.compile(
    r"\s*(?:<video>\s*)?(?P<caption>.*?)\s*"
    r"Please identify the (?P<question>semantic consistency|fidelity|motion) issues",
    re.S,
)
LEVELS = {"good": 2.0, "normal": 1.0, "bad": 0.0}


def member(row: Row) -> Member:
    turns = row.items("conversations", length=2)
    human, answer = (turn.get("value") if isinstance(turn, dict) else None for turn in turns)
    question = QUESTION.match(human) if isinstance(human, str) else None
    if question is None or not question["caption"]:
        raise FieldError("conversations", "does not ask about one of semantic consistency, fidelity or motion issues")
    level = re.match(r"\s*(\w+)", answer) if isinstance(answer, str) else None
    if level is None or level[1].lower() not in LEVELS:
        raise FieldError("conversations", f"answers {str(answer)[:60]!r}; it must begin with Good, Normal or Bad")
    return Member(
        group=question["caption"],
        task=Task.VIDEO_GENERATION,
        text=question["caption"],
        medium=row.text("video"),
        scores={question["question"]: LEVELS[level[1].lower()]},
        under=("", "videos"),
    )


SOURCE = Source(
    name="lift_hra",
    repository="Fudan-FUXI/LiFT-HRA-20K",
    revision="CodeGoat24/LiFT@a0d5e56c0d",
    licence="not stated",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.VIDEO_GENERATION,),
    files=("LiFT-HRA*.json",),
    fields=("video", "conversations"),
    winner_first=True,
    options=("pairing",),
    pairing="extremes",
    member=member,
)
