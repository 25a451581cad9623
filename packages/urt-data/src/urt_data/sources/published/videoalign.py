"""Pairs of generated videos in the format that VideoAlign prescribes for training data: a label per dimension, none
overall.

    path_A,path_B,prompt,VQ,MQ,TA,fps_A,num_frames_A,fps_B,num_frames_B        labels: A, B, same

VQ is visual quality, MQ motion quality, TA text alignment. The side that more dimensions prefer is the better one; as
many for each are a tie. An `Overall` column decides where there is one.
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, compare, split_of
from urt_data.sources.published.videogen_rewardbench import DIMENSIONS, LABELS, MARKS
from urt_data.sources.rows import FieldError, Row
from urt_data.sources.source import Source


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    marks = {name: row.choice(column, MARKS) for column, name in DIMENSIONS.items() if column in row}
    yield Pair(
        task=Task.VIDEO_GENERATION,
        text=row.text("prompt"),
        first=folder.video(row.text("path_A"), "path_A"),
        second=folder.video(row.text("path_B"), "path_B"),
        preference=row.choice("Overall", LABELS) if "Overall" in row else _majority(marks),
        scores=marks,
        models=(row.get("A_model"), row.get("B_model")),
        split=split_of(row.file),
    )


def _majority(marks: dict[str, tuple[float, float]]) -> Preference:
    if not marks:
        raise FieldError(
            "VQ", f"is missing, and so are the others; one of {', '.join((*DIMENSIONS, 'Overall'))} is needed"
        )
    return compare(sum(first for first, _ in marks.values()), sum(second for _, second in marks.values()))


SOURCE = Source(
    name="videoalign",
    repository="github.com/KwaiVGI/VideoAlign",
    revision="KwaiVGI/VideoAlign@219ab9db64",
    licence="not stated",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.VIDEO_GENERATION,),
    files=("*.csv",),
    fields=("path_A", "path_B", "A_model", "B_model", "prompt", "Overall", *DIMENSIONS),
    pairs=pairs,
)
