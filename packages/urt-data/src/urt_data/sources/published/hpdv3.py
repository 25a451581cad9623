"""HPDv3: pairs of images with the votes of several annotators; the better image is always `path1`.

{"prompt", "path1", "path2", "model1", "model2", "choice_dist": [12, 7], "confidence": 0.99}
"""

from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, Votes, split_of
from urt_data.sources.rows import FieldError, Row, as_real
from urt_data.sources.source import Source

EDITED = ("path_src", "source_image", "input_image", "src_image")
"""Columns of editing sets that are otherwise shaped like HPDv3, such as EditReward's."""


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    for name in EDITED:
        if name in row:
            raise FieldError(
                name, "is the source image of an edit, for which a record has no place; these are no pairs of HPDv3"
            )
    votes = _votes(row)
    yield Pair(
        task=Task.IMAGE_GENERATION,
        text=row.text("prompt"),
        first=folder.image(row.require("path1"), "path1"),
        second=folder.image(row.require("path2"), "path2"),
        preference=votes.preference if votes else Preference.FIRST,
        votes=votes,
        models=(row.get("model1"), row.get("model2")),
        split=split_of(row.file),
        notes={"confidence": row.real("confidence") if row.get("confidence") not in (None, "null") else None},
    )


def _votes(row: Row) -> Votes | None:
    if "choice_dist" not in row:
        return None
    # The distribution is not ordered like the paths: the larger share is the winner's, as in the authors' soft labels.
    winner, loser = sorted(
        (as_real(votes, "choice_dist") for votes in row.items("choice_dist", length=2)), reverse=True
    )
    return Votes(first=winner, second=loser)


SOURCE = Source(
    name="hpdv3",
    repository="MizzenAI/HPDv3",
    revision="opendilab/LightRFT@49e62cb6e1",
    licence="MIT",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("*.json", "*.jsonl"),
    fields=("prompt", "path1", "path2", "model1", "model2", "choice_dist", "confidence", *EDITED),
    winner_first=True,
    pairs=pairs,
)
