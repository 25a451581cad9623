"""VideoGen-RewardBench: pairs of generated videos with labels per dimension and overall; evaluation only.

    path_A,path_B,A_model,B_model,prompt,VQ,MQ,TA,Overall,fps_A,num_frames_A,fps_B,num_frames_B    labels: A, B, same

VQ is visual quality, MQ motion quality, TA text alignment.
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.rows import Row
from urt_data.sources.source import Source

LABELS = {"A": Preference.FIRST, "B": Preference.SECOND, "same": Preference.TIE}
MARKS = {"A": (1.0, 0.0), "B": (0.0, 1.0), "same": (0.5, 0.5)}
DIMENSIONS = {"VQ": "visual quality", "MQ": "motion quality", "TA": "text alignment"}


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    yield Pair(
        task=Task.VIDEO_GENERATION,
        text=row.text("prompt"),
        first=folder.video(row.text("path_A"), "path_A"),
        second=folder.video(row.text("path_B"), "path_B"),
        preference=row.choice("Overall", LABELS),
        scores={name: row.choice(column, MARKS) for column, name in DIMENSIONS.items() if column in row},
        models=(row.get("A_model"), row.get("B_model")),
    )


SOURCE = Source(
    name="videogen_rewardbench",
    repository="KwaiVGI/VideoGen-RewardBench",
    revision="KwaiVGI/VideoAlign@219ab9db64",
    licence="not verified",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.VIDEO_GENERATION,),
    files=("*.csv",),
    fields=("path_A", "path_B", "A_model", "B_model", "prompt", "Overall", *DIMENSIONS),
    evaluation_only=True,
    pairs=pairs,
)
