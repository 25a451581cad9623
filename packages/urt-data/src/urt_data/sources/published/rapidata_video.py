"""Rapidata's text-to-video comparisons: crowd votes per question, as shares; the videos are files named in the rows.

    {"prompt", "file_name1": "0000_sora_1.mp4", "file_name2", "model1", "model2", "weighted_results1_Preference": 0.6,
     "weighted_results2_Preference": 0.4, "..._Coherence", "..._Alignment", "detailedResults_Preference"}

Sets differ in their questions and in how a file is named (plain, by address, under `videos` or `Videos`). The detailed
results (country, language and score of each annotator) and the GIF previews are not read.
"""

from collections.abc import Iterator

from urt_core.records import Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.published.crowd import preference_votes, shares
from urt_data.sources.rows import Row
from urt_data.sources.source import Source

QUESTIONS = ("Preference", "Alignment", "Coherence")
COLUMNS = {
    question.lower(): (f"weighted_results1_{question}", f"weighted_results2_{question}") for question in QUESTIONS
}


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    answers = shares(row, COLUMNS)
    votes = preference_votes(answers, deciding=("preference",))
    yield Pair(
        task=Task.VIDEO_GENERATION,
        text=row.text("prompt"),
        first=_video(row, folder, "file_name1"),
        second=_video(row, folder, "file_name2"),
        preference=votes.preference,
        votes=votes,
        scores=answers,
        models=(row.get("model1"), row.get("model2")),
    )


def _video(row: Row, folder: InputFolder, name: str) -> Content:
    value = row.text(name)
    if "://" in value:
        # .../<model>/<file>: the last two parts are the file's place below the videos' folder.
        value = "/".join(value.split("/")[-2:])
    return folder.video(value, name, under=("videos", "Videos", ""))


SOURCE = Source(
    name="rapidata_video",
    repository="Rapidata/text-2-video-human-preferences",
    revision="opendilab/LightRFT@49e62cb6e1",
    licence="Apache-2.0",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.VIDEO_GENERATION,),
    files=("**/*.parquet",),
    fields=(
        "prompt",
        "file_name1",
        "file_name2",
        "model1",
        "model2",
        *(name for names in COLUMNS.values() for name in names),
    ),
    pairs=pairs,
)
