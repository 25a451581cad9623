"""Multimodal RewardBench: two answers about an image with one of them better; evaluation only, not for commercial use.

    {"ID", "Text", "Image": "images/nocaps/13062.jpg", "Output1", "Output2", "Better": "Output1", "Meta": {"Category"}}

`data/all_data.json`, as the benchmark's download script writes it; its images lie beside it.
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.rows import Row
from urt_data.sources.source import Source

LABELS = {"Output1": Preference.FIRST, "Output2": Preference.SECOND}


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    category = (
        row.get("Meta.Category")
        or (row.fields("Meta").get("Category") if "Meta" in row else None)
        or row.get("Category")
    )
    yield Pair(
        task=Task.IMAGE_UNDERSTANDING,
        text=row.text("Text"),
        first=row.text("Output1"),
        second=row.text("Output2"),
        media=folder.image(row.require("Image"), "Image", under=("", "data")),
        preference=row.choice("Better", LABELS),
        notes={"item": row.get("ID"), "category": category},
    )


SOURCE = Source(
    name="multimodal_rewardbench",
    repository="github.com/facebookresearch/multimodal_rewardbench",
    revision="facebookresearch/multimodal_rewardbench@b4b92cdac0",
    licence="CC-BY-NC-4.0",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_UNDERSTANDING,),
    files=("**/all_data.json",),
    fields=("ID", "Text", "Image", "Output1", "Output2", "Better", "Meta", "Meta.Category", "Category"),
    evaluation_only=True,
    pairs=pairs,
)
