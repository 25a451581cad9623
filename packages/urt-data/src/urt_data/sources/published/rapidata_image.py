"""Rapidata's text-to-image comparisons (4o, Ideogram, 700k, ...): crowd votes per question, as shares or as counts.

    {"prompt", "image1", "image2", "model1", "model2", "weighted_results_image1_preference": 0.6,
     "weighted_results_image2_preference": 0.4, "..._alignment", "..._coherence", "detailed_results_preference", ...}
    {"prompt", "image1", "image2", "model1", "model2", "votes_image1": 8, "votes_image2": 2}             older sets

The question about preference decides, where it was asked, else the mean of the others. The detailed results (country,
language and score of each annotator) are not read.
"""

from collections.abc import Iterator

from urt_core.records import Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.published.crowd import preference_votes, shares
from urt_data.sources.rows import Row
from urt_data.sources.source import Source

QUESTIONS = ("preference", "alignment", "coherence")
COLUMNS = {
    question: (f"weighted_results_image1_{question}", f"weighted_results_image2_{question}") for question in QUESTIONS
}
COLUMNS["votes"] = ("votes_image1", "votes_image2")


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    answers = shares(row, COLUMNS)
    votes = preference_votes(answers, deciding=("preference", "votes"))
    yield Pair(
        task=Task.IMAGE_GENERATION,
        text=row.text("prompt"),
        first=folder.image(row.require("image1"), "image1", under=("", "images")),
        second=folder.image(row.require("image2"), "image2", under=("", "images")),
        preference=votes.preference,
        votes=votes,
        scores={name: answer for name, answer in answers.items() if name != "votes"},
        models=(row.get("model1"), row.get("model2")),
    )


SOURCE = Source(
    name="rapidata_image",
    repository="Rapidata/OpenAI-4o_t2i_human_preference",
    revision="card",
    licence="Apache-2.0",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("**/*.parquet",),
    fields=("prompt", "image1", "image2", "model1", "model2", *(name for names in COLUMNS.values() for name in names)),
    pairs=pairs,
)
