"""Rows of UnifiedReward's own training data, as `official_sft`, `official_grpo` and `official_mixture` read them.

    SFT   {"conversations": [{"from": "human", "value": prompt}, {"from": "gpt", "value": judgement}], "images": [...]}
    GRPO  {"problem": prompt, "solution": "Image 1 is better", "images": [...]}     or "video", or "image" for "images"

The prompt gives the caption, or the question and the answers; the judgement or the solution gives the noun, and so the
task. Frames of video pairs stand one after the other in `images`: the first half is video 1. Pointwise rows are left
out.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from urt_core.errors import RecordError
from urt_core.judgement import ParseFailure, parse_judgement
from urt_core.records import Media, MediaKind, Preference, PreferenceRecord, Task
from urt_data.shards.tar import VIDEO_SUFFIXES
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import LabelOrigin, Pair
from urt_data.sources.published.payload import Payload, read_payload
from urt_data.sources.rows import FieldError, LeftOut, Row

EMBEDDED_RECORD = "urt_record"
"""Our own export adds the whole record to a row as a JSON string, which trainers ignore; reading loses nothing."""

VERDICT = re.compile(r"\b(?P<noun>Image|Video|Answer) (?P<number>[12]) is better\b", re.I)
SOLUTION = re.compile(rf"\s*{VERDICT.pattern}(?: than (?:image|video|answer) [12])?\.?\s*", re.I)
SECOND_SCORE = re.compile(r"\b(?:Image|Video|Answer) 2\b\W*:?\W*\d", re.I)
TIE = re.compile(r"Both (?P<noun>image|video|answer)s are equally good", re.I)

# Folders of the official collection whose labels are human; the others come from models, as the raw sets say.
HUMAN_FOLDERS = ("HPD", "OIP", "EvalMuse", "OpenAI-4o_t2i_human_preference", "Text2Video-Human_Preferences")


def official_pairs(row: Row, folder: InputFolder) -> Iterator[Pair | PreferenceRecord]:
    if EMBEDDED_RECORD in row:
        yield _embedded(row, folder)
    elif "problem" in row:
        yield _grpo_pair(row, folder)
    else:
        yield from _sft_pair(row, folder)


def _grpo_pair(row: Row, folder: InputFolder) -> Pair:
    payload = read_payload(row.text("problem"))
    if payload is None:
        raise FieldError("problem", "holds neither a caption nor a question with two answers in a known wording")
    noun, preference = _solution(row.text("solution"))
    return official_pair(
        row, folder, payload=payload, noun=noun, preference=preference, label_origin=_label_origin(row)
    )


def _sft_pair(row: Row, folder: InputFolder) -> Iterator[Pair]:
    human, judgement = conversation(row)
    payload = read_payload(human)
    verdict = VERDICT.search(judgement) or TIE.search(judgement)
    if payload is None or verdict is None:
        raise LeftOut(_without_verdict(judgement))
    noun = verdict["noun"].lower()
    task = _task(row, payload=payload, noun=noun)
    read = parse_judgement(judgement, task=task)
    if isinstance(read, ParseFailure):
        raise FieldError("conversations", f"the judgement cannot be read ({read.kind}): {read.excerpt[-80:]!r}")
    pair = official_pair(
        row, folder, payload=payload, noun=noun, preference=read.verdict, label_origin=LabelOrigin.DISTILLED
    )
    yield replace(pair, completion=judgement)


def _without_verdict(judgement: str) -> str:
    """What a judgement is that decides no pair."""
    if judgement.lstrip("` \n").removeprefix("json").lstrip()[:1] == "{":
        return "a judgement as JSON (UnifiedReward-Flex and the like), which no dialect reads: data=official_flex reads the pairs"
    if SECOND_SCORE.search(judgement):
        return "pair scores, no verdict (UnifiedReward-2.0): data=official_pair_scores reads the pairs"
    return "pointwise: one candidate and its score, no pair: data=official_point_scores pairs those of one caption"


def conversation(row: Row) -> tuple[str, str]:
    """What was asked, and what was answered."""
    turns = row.items("conversations")
    if len(turns) != 2 or [turn.get("from") if isinstance(turn, dict) else None for turn in turns] != ["human", "gpt"]:
        raise FieldError("conversations", "must be one turn of `human` and one of `gpt`")
    for turn in turns:
        if not isinstance(turn.get("value"), str) or not turn["value"].strip():
            raise FieldError("conversations", f"has a turn of {turn['from']} without text")
    return turns[0]["value"], turns[1]["value"]


def _solution(solution: str) -> tuple[str, Preference]:
    if match := SOLUTION.fullmatch(solution):
        return match["noun"].lower(), Preference.FIRST if match["number"] == "1" else Preference.SECOND
    if match := TIE.search(solution):
        return match["noun"].lower(), Preference.TIE
    raise FieldError("solution", f"is {solution[:80]!r}; it must be like 'Image 1 is better'")


def _task(row: Row, *, payload: Payload, noun: str) -> Task:
    if payload.is_generation == (noun == "answer"):
        wanted = "caption" if noun != "answer" else "question with two answers"
        raise FieldError("solution", f"speaks of {noun}s, but the prompt holds no {wanted}")
    if payload.is_generation:
        return Task.IMAGE_GENERATION if noun == "image" else Task.VIDEO_GENERATION
    return Task.IMAGE_UNDERSTANDING if len(images_of(row)) == 1 else Task.VIDEO_UNDERSTANDING


def official_pair(
    row: Row,
    folder: InputFolder,
    *,
    payload: Payload,
    noun: str,
    preference: Preference,
    label_origin: LabelOrigin,
    scores: Mapping[str, tuple[float, float]] | None = None,
) -> Pair:
    """The candidates, or the medium of a question, that a row names.

    `noun` is that of its judgement: image, video or answer.
    """
    task = _task(row, payload=payload, noun=noun)
    images = images_of(row)
    notes = {"origin": row.get("source"), "subset": _collection(row.file)}
    if task.is_generation:
        if len(images) < 2 or len(images) % 2 or (task is Task.IMAGE_GENERATION and len(images) != 2):
            raise FieldError(
                "images", f"has {len(images)} items; two images, or the frames of two equally long videos, are needed"
            )
        half = len(images) // 2
        read = folder.image if task is Task.IMAGE_GENERATION else folder.video
        first, second = (images[0], images[1]) if task is Task.IMAGE_GENERATION else (images[:half], images[half:])
        return Pair(
            task=task,
            text=payload.text,
            first=read(first, "images", under=places_of(row)),
            second=read(second, "images", under=places_of(row)),
            preference=preference,
            label_origin=label_origin,
            scores=scores or {},
            notes=notes,
        )
    return Pair(
        task=task,
        text=payload.text,
        first=payload.first or "",
        second=payload.second or "",
        media=_asked_about(row, folder, images),
        preference=preference,
        label_origin=label_origin,
        notes=notes,
    )


def _asked_about(row: Row, folder: InputFolder, images: list[Any]) -> Content:
    if not images:
        return folder.video(row.text("video"), "video", under=places_of(row))
    if len(images) == 1:
        return folder.image(images[0], "images", under=places_of(row))
    return folder.video(images, "images", under=places_of(row))


def places_of(row: Row) -> tuple[str, ...]:
    """File names start from the folder of their JSON file, or else from the media folder."""
    return tuple(dict.fromkeys((str(PurePosixPath(row.file).parent), "")))


def images_of(row: Row) -> list[Any]:
    """The official loaders take `images`, or `image` as a name or a list."""
    if "images" in row:
        return list(row.items("images"))
    image = row.get("image")
    return list(image) if isinstance(image, list) else [image] if image is not None else []


def _collection(file: str) -> str | None:
    """The folder of the official collection a file belongs to: dataset/<collection>/.../grpo_train_data.json."""
    parts = PurePosixPath(file).parts[:-1]
    return next((part for part in parts if part != "dataset"), None)


def _label_origin(row: Row) -> LabelOrigin:
    """Human only where the collection says so: an unknown file counts as labelled by a model."""
    return LabelOrigin.HUMAN if _collection(row.file) in HUMAN_FOLDERS else LabelOrigin.MODEL


def _embedded(row: Row, folder: InputFolder) -> PreferenceRecord:
    try:
        record = PreferenceRecord.from_json(json.loads(row.text(EMBEDDED_RECORD)))
    except (ValueError, RecordError) as error:
        raise FieldError(EMBEDDED_RECORD, f"is no record ({error})") from error
    names = images_of(row) or [row.text("video")]
    filled: dict[str, Media] = {}
    for role in ("first", "second", "media"):
        media = getattr(record, role)
        if isinstance(media, Media):
            mine, names = names[: len(media.files)], names[len(media.files) :]
            if len(mine) != len(media.files):
                raise FieldError("images", f"has too few items for the {len(media.files)} files of {role}")
            filled[role] = replace(media, data=_encoded(row, folder, media, mine))
    return replace(record, **filled)


def _encoded(row: Row, folder: InputFolder, media: Media, names: list[Any]) -> tuple[bytes, ...]:
    if media.kind is MediaKind.IMAGE:
        return folder.image(names[0], "images", under=places_of(row)).data
    is_file = media.files[0].rpartition(".")[2] in VIDEO_SUFFIXES
    return folder.video(names[0] if is_file else names, "images", under=places_of(row)).data
