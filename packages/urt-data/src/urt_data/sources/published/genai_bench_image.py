"""GenAI-Bench, image generation: arena votes for the left or the right image, both or neither; evaluation only.

    {"prompt", "left_model", "left_image": {"bytes", "path"}, "right_model", "right_image", "vote_type": "leftvote"}

A tie is a `tievote` (both good) or a `bothbad_vote`; which one is kept as `tie_kind`.
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.rows import Row
from urt_data.sources.source import Source

VOTES = {
    "leftvote": Preference.FIRST,
    "rightvote": Preference.SECOND,
    "tievote": Preference.TIE,
    "bothbad_vote": Preference.TIE,
}
TIE_KINDS = {"tievote": "both good", "bothbad_vote": "both bad"}


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    yield Pair(
        task=Task.IMAGE_GENERATION,
        text=row.text("prompt"),
        first=folder.image(row.require("left_image"), "left_image", under=("", "images")),
        second=folder.image(row.require("right_image"), "right_image", under=("", "images")),
        preference=row.choice("vote_type", VOTES),
        models=(row.get("left_model"), row.get("right_model")),
        notes={"tie_kind": TIE_KINDS.get(row.text("vote_type"))},
    )


SOURCE = Source(
    name="genai_bench_image",
    repository="TIGER-Lab/GenAI-Bench",
    revision="TIGER-AI-Lab/GenAI-Bench@f0b0334d41",
    licence="not verified",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("image_generation/*.parquet", "*.parquet"),
    fields=("prompt", "left_model", "left_image", "right_model", "right_image", "vote_type"),
    evaluation_only=True,
    pairs=pairs,
)
