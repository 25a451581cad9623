"""Open Image Preferences v1: two generators per prompt, judged by a community; the raw results or their binarised form.

    results     {"id", "images": {"image_1": url, "image_2": url, "prompt"}, "preference.responses": ["image_1", ...]}
    binarised   {"id", "prompt", "chosen": image, "rejected": image, "chosen_model", "rejected_model", "category", ...}

The results keep ties: one image is better where it has more votes than the other and than `both_bad`, the rule of the
binarised form, which drops the rest. Their addresses end in `<folder>/<number>.jpg` and are looked up in the input
folder. Rows without responses are left out; the ids of the annotators are not read.
"""

from collections import Counter
from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, Votes
from urt_data.sources.rows import FieldError, LeftOut, Row
from urt_data.sources.source import Source

RESPONSES = ("image_1", "image_2", "both_good", "both_bad")


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    if "chosen" in row:
        yield _binarised(row, folder)
    elif row.get("preference.responses"):
        yield _voted(row, folder)
    else:
        raise LeftOut("no responses")


def _binarised(row: Row, folder: InputFolder) -> Pair:
    return Pair(
        task=Task.IMAGE_GENERATION,
        text=row.text("prompt"),
        first=folder.image(row.require("chosen"), "chosen"),
        second=folder.image(row.require("rejected"), "rejected"),
        preference=Preference.FIRST,
        models=(row.get("chosen_model"), row.get("rejected_model")),
        winner_first=True,
        notes=_notes(row),
    )


def _voted(row: Row, folder: InputFolder) -> Pair:
    responses = row.items("preference.responses")
    unknown = sorted({str(response) for response in responses} - set(RESPONSES))
    if unknown:
        raise FieldError("preference.responses", f"holds {unknown}; allowed: {', '.join(RESPONSES)}")
    counts = Counter(responses)
    images = row.fields("images") if "images" in row else row.values
    nested = Row(file=row.file, number=row.number, values=images)
    return Pair(
        task=Task.IMAGE_GENERATION,
        text=nested.text("prompt"),
        first=folder.image(_local(nested, "image_1"), "image_1"),
        second=folder.image(_local(nested, "image_2"), "image_2"),
        preference=_preference(counts),
        votes=Votes(first=counts["image_1"], second=counts["image_2"], tie=counts["both_good"] + counts["both_bad"]),
        models=(row.get("model_1"), row.get("model_2")),
        notes=_notes(row),
    )


def _preference(counts: Counter[str]) -> Preference:
    first, second = counts["image_1"] + counts["both_good"], counts["image_2"] + counts["both_good"]
    if first > second and first > counts["both_bad"]:
        return Preference.FIRST
    if second > first and second > counts["both_bad"]:
        return Preference.SECOND
    return Preference.TIE


def _local(row: Row, name: str) -> object:
    value = row.require(name)
    return "/".join(value.split("/")[-2:]) if isinstance(value, str) and "://" in value else value


def _notes(row: Row) -> dict[str, object]:
    return {"category": row.get("category"), "sub_category": row.get("sub_category"), "evolution": row.get("evolution")}


SOURCE = Source(
    name="open_image_preferences",
    repository="data-is-better-together/open-image-preferences-v1-binarized",
    revision="huggingface/data-is-better-together@f7f0e8e2a7",
    licence="Apache-2.0",
    commercial_ok=True,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("**/*.parquet", "*.json", "*.jsonl"),
    fields=(
        *(
            "id",
            "prompt",
            "chosen",
            "rejected",
            "chosen_model",
            "rejected_model",
            "evolution",
            "category",
            "sub_category",
        ),
        *("images", "image_1", "image_2", "model_1", "model_2", "preference.responses"),
    ),
    pairs=pairs,
)
