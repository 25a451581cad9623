"""ImageRewardDB: four to nine images of one prompt, ranked and rated by experts; one row per image, or per prompt.

    {"image_path", "prompt_id", "prompt", "rank", "overall_rating", "image_text_alignment_rating", "fidelity_rating"}

    {"id", "prompt", "generations": [image, ...], "ranking": [1, 2, 4, 3]}        the published test.json

All pairs of a prompt are made; equal ranks are a tie. Read from the JSON files or from `metadata-*.parquet` (give that
file as input).
"""

from urt_core.records import Task
from urt_data.sources.pair import LabelOrigin, split_of
from urt_data.sources.ranking import Member
from urt_data.sources.rows import Row, as_real
from urt_data.sources.source import Source

RATINGS = {"overall": "overall_rating", "alignment": "image_text_alignment_rating", "fidelity": "fidelity_rating"}


def member(row: Row) -> Member | list[Member]:
    if "generations" in row:
        return _ranked(row)
    return Member(
        group=row.text("prompt_id"),
        task=Task.IMAGE_GENERATION,
        text=row.text("prompt"),
        medium=row.text("image_path"),
        rank=row.real("rank"),
        scores={name: row.real(column) for name, column in RATINGS.items() if column in row},
        split=split_of(row.file),
        notes={"classification": row.get("classification")},
    )


def _ranked(row: Row) -> list[Member]:
    images = row.items("generations")
    return [
        Member(
            group=row.text("id"),
            task=Task.IMAGE_GENERATION,
            text=row.text("prompt"),
            medium=image,
            rank=as_real(rank, "ranking"),
            split=split_of(row.file),
            notes={"group": row.text("id")},
        )
        for image, rank in zip(images, row.items("ranking", length=len(images)), strict=True)
    ]


SOURCE = Source(
    name="image_reward_db",
    repository="THUDM/ImageRewardDB",
    revision="card",
    licence="Apache-2.0",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("**/*.json",),
    fields=(
        "image_path",
        "prompt_id",
        "prompt",
        "classification",
        "rank",
        "id",
        "generations",
        "ranking",
        *RATINGS.values(),
    ),
    winner_first=True,
    options=("pairing",),
    member=member,
)
