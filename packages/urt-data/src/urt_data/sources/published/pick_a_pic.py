"""Pick-a-Pic v1 and v2: one user's choice between two images; 0.5 and 0.5 is "no preference".

    {"caption", "jpg_0": bytes, "jpg_1": bytes, "label_0": 1.0, "label_1": 0.0, "has_label", "model_0", "model_1", ...}

Rows without a label are left out. User ids, ranking ids, image ids, addresses and times are not read.
"""

from collections.abc import Iterator

from urt_core.records import Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, compare, split_of
from urt_data.sources.rows import FieldError, LeftOut, Row
from urt_data.sources.source import Source


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    if row.get("has_label") is False:
        raise LeftOut("no label (has_label is false)")
    labels = (row.real("label_0"), row.real("label_1"))
    if sorted(labels) not in ([0.0, 1.0], [0.5, 0.5]):
        raise FieldError("label_0", f"and label_1 are {labels}; allowed: 1 and 0, 0 and 1, 0.5 and 0.5")
    yield Pair(
        task=Task.IMAGE_GENERATION,
        text=row.text("caption"),
        first=folder.image(row.require("jpg_0"), "jpg_0"),
        second=folder.image(row.require("jpg_1"), "jpg_1"),
        preference=compare(*labels),
        models=(row.get("model_0"), row.get("model_1")),
        split=split_of(row.file),
    )


SOURCE = Source(
    name="pick_a_pic",
    repository="yuvalkirstain/pickapic_v2",
    revision="card",
    licence="not stated",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("**/*.parquet",),
    fields=("caption", "jpg_0", "jpg_1", "label_0", "label_1", "has_label", "model_0", "model_1"),
    pairs=pairs,
)
