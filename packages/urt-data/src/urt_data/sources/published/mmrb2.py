"""Multimodal RewardBench 2, text to image: two images of one prompt with three annotators' marks; evaluation only.

    {"pairs": [{"id", "prompt_content": [["text", "..."]],
                "response_a": {"model_name", "response_content": [["image", "images/a.jpg"]]}, "response_b": {...},
                "chosen": "B", "human_annotations": [2, 2, 1], "prompt_source", "prompt_metadata"}]}

Marks go from 1 (B is much better) to 6 (A is much better) and have no middle, so that each is a vote. Only `t2i.json`
is read: the pairs of the editing, interleaved and reasoning parts hold more images than a record has places for.
"""

from collections.abc import Iterator
from typing import Any

from urt_core.records import Preference, Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, Votes
from urt_data.sources.rows import FieldError, Row, as_real
from urt_data.sources.source import Source

LABELS = {"A": Preference.FIRST, "B": Preference.SECOND}


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    first, first_model = _response(row, folder, "response_a")
    second, second_model = _response(row, folder, "response_b")
    yield Pair(
        task=Task.IMAGE_GENERATION,
        text=_prompt(row),
        first=first,
        second=second,
        preference=row.choice("chosen", LABELS),
        votes=_votes(row) if "human_annotations" in row else None,
        models=(first_model, second_model),
        notes={"item": row.get("id") or row.get("pair_id"), "prompt_source": row.get("prompt_source")},
    )


def _prompt(row: Row) -> str:
    parts = _parts(row.require("prompt_content"), "prompt_content")
    if any(kind != "text" for kind, _ in parts):
        raise FieldError("prompt_content", "holds an image; only prompts of text alone can be read (t2i.json)")
    text = "\n".join(value for _, value in parts).strip()
    if not text:
        raise FieldError("prompt_content", "is empty")
    return text


def _response(row: Row, folder: InputFolder, name: str) -> tuple[Content, str | None]:
    response = row.fields(name)
    parts = _parts(response.get("response_content"), name)
    if len(parts) != 1 or parts[0][0] != "image":
        raise FieldError(name, f"has the parts {[kind for kind, _ in parts]}; it must be one image (t2i.json)")
    return folder.image(parts[0][1], name, under=("", "images")), response.get("model_name") or response.get("model")


def _parts(content: Any, name: str) -> list[tuple[str, str]]:
    valid = isinstance(content, list) and all(
        isinstance(part, list) and [type(item) for item in part] == [str, str] for part in content
    )
    if not valid:
        raise FieldError(name, "is not a list of [type, content] pairs")
    return [(kind, value) for kind, value in content]


def _votes(row: Row) -> Votes:
    marks = [as_real(mark, "human_annotations") for mark in row.items("human_annotations")]
    if not marks or not all(1 <= mark <= 6 for mark in marks):
        raise FieldError("human_annotations", f"is {marks}; marks go from 1 to 6")
    return Votes(first=sum(mark > 3.5 for mark in marks), second=sum(mark < 3.5 for mark in marks))


SOURCE = Source(
    name="mmrb2",
    repository="github.com/facebookresearch/MMRB2",
    revision="facebookresearch/MMRB2@7ff0552cf2",
    licence="CC-BY-NC-4.0",
    commercial_ok=False,
    label_origin=LabelOrigin.HUMAN,
    tasks=(Task.IMAGE_GENERATION,),
    files=("**/t2i.json",),
    fields=("id", "prompt_content", "response_a", "response_b", "chosen", "human_annotations", "prompt_source"),
    evaluation_only=True,
    within="pairs",
    pairs=pairs,
)
