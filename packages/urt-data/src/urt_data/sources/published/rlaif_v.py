"""RLAIF-V: the more and the less trustworthy answer about an image, by open models' feedback. Not for commercial use.

{"ds_name", "image": {"bytes", "path"}, "question", "chosen", "rejected", "origin_dataset", "origin_split", "idx",
"image_path"}
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.rows import Row
from urt_data.sources.source import Source


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    yield Pair(
        task=Task.IMAGE_UNDERSTANDING,
        text=row.text("question"),
        first=row.text("chosen"),
        second=row.text("rejected"),
        media=folder.image(row.require("image"), "image"),
        preference=Preference.FIRST,
        notes={"subset": row.get("ds_name"), "origin_dataset": row.get("origin_dataset")},
    )


SOURCE = Source(
    name="rlaif_v",
    repository="openbmb/RLAIF-V-Dataset",
    revision="RLHF-V/RLAIF-V@83d917b2e8",
    licence="CC-BY-NC-4.0",
    commercial_ok=False,
    label_origin=LabelOrigin.MODEL,
    tasks=(Task.IMAGE_UNDERSTANDING,),
    files=("**/*.parquet",),
    fields=("image", "question", "chosen", "rejected", "ds_name", "origin_dataset"),
    winner_first=True,
    pairs=pairs,
)
