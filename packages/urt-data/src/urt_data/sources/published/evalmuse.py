"""EvalMuse-40K: images of one prompt, each marked 1 to 5 for alignment by several annotators; one row per image.

    {"prompt_id", "prompt", "type", "img_path", "total_score": [4, 5, 4], "element_score", ...}

By default the image with the highest mean mark is set against the one with the lowest, as UnifiedReward does (arXiv
2503.05236, section on data); `pairing="all"` makes every pair. The variance of the marks is kept; the marks of single
elements are not.
"""

from statistics import fmean, pvariance

from urt_core.records import Task
from urt_data.sources.pair import LabelOrigin
from urt_data.sources.ranking import Member
from urt_data.sources.rows import FieldError, Row, as_real
from urt_data.sources.source import Source


def member(row: Row) -> Member:
    marks = [as_real(mark, "total_score") for mark in row.items("total_score")]
    if not marks:
        raise FieldError("total_score", "is an empty list")
    return Member(
        group=row.text("prompt"),
        task=Task.IMAGE_GENERATION,
        text=row.text("prompt"),
        medium=row.text("img_path"),
        scores={"alignment": fmean(marks)},
        details={"alignment_variance": pvariance(marks)},
        under=("", "images"),
        notes={"type": row.get("type")},
    )


SOURCE = Source(
    name="evalmuse",
    repository="DY-Evalab/EvalMuse",
    revision="card",
    licence="BSD-3-Clause",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("train_list.json",),
    fields=("prompt", "type", "img_path", "total_score"),
    winner_first=True,
    options=("pairing",),
    pairing="extremes",
    member=member,
)
