"""Rows of UnifiedReward 2.0 that score instead of deciding (UnifiedReward-2.0-T2X-score-data), and the verdicts of Flex.

    pair     {"conversations": [prompt, "Alignment Score:\\n Image 1: 0.7\\n Image 2: 0.3\\nCoherence Score: ..."], "images": [...]}
    point    {"conversations": [prompt, "Alignment Score (1-5): 4.2\\nCoherence Score (1-5): ..."], "images": ["a.jpg"]}
    Flex     {"conversations": [prompt, '{"prompt": ..., "categories": [...], "reason": ..., "winner": "Image 1"}'], "images": [...]}

The prompt gives the caption. Of a pair the candidate with the larger mean over the dimensions is the better one; points
become pairs of the candidates of one caption. Videos are frames in `images` (of a pair the first half is video 1), or
the file in `video`. No dialect reads these texts, so that none becomes a completion to imitate.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isfinite
from statistics import fmean
from typing import Any

from urt_core.judgement import ParseFailure, parse_point
from urt_core.judgement.flex import parse_flex
from urt_core.judgement.json_object import json_object
from urt_core.prompts import PointContract
from urt_core.records import Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, compare
from urt_data.sources.published.official import conversation, images_of, official_pair, places_of
from urt_data.sources.published.payload import Payload, read_payload
from urt_data.sources.ranking import Member
from urt_data.sources.rows import FieldError, LeftOut, Row
from urt_data.sources.source import Source

BLOCK = re.compile(
    r"^[ \t]*(?P<name>[A-Z][A-Za-z -]*?) Score[^\n:]*:[ \t]*\n"
    r"[ \t]*(?P<noun>Image|Video) 1[ \t]*:[ \t]*(?P<first>\S+)[ \t]*\n"
    r"[ \t]*(?:Image|Video) 2[ \t]*:[ \t]*(?P<second>\S+)[ \t]*$",
    re.M,
)
POINTS = (PointContract.ACS, PointContract.APS, PointContract.FINAL_SCORE)
FIELDS = ("conversations", "images", "image", "video", "source")


def scored_pair(row: Row, folder: InputFolder) -> Iterator[Pair]:
    human, judgement = conversation(row)
    blocks = list(BLOCK.finditer(judgement))
    if not blocks:
        raise LeftOut("no pair scores (points: data=official_point_scores; JSON verdicts: data=official_flex)")
    scores = {block["name"].lower(): (_number(block["first"]), _number(block["second"])) for block in blocks}
    nouns = {block["noun"] for block in blocks}
    if len(nouns) > 1 or len(scores) < len(blocks):
        raise FieldError("conversations", f"has the scores {judgement[:120]!r}, which are not those of one pair")
    means = (fmean(first for first, _ in scores.values()), fmean(second for _, second in scores.values()))
    yield official_pair(
        row,
        folder,
        payload=_caption(human),
        noun=nouns.pop().lower(),
        preference=compare(*means),
        label_origin=LabelOrigin.MODEL,
        scores=scores,
    )


def scored_candidate(row: Row) -> Member | None:
    """None for an answer to a question, and for rows about two candidates."""
    human, judgement = conversation(row)
    payload = read_payload(human)
    if payload is None or not payload.is_generation or BLOCK.search(judgement) or json_object(judgement):
        return None
    frames = images_of(row)
    task = Task.IMAGE_GENERATION if len(frames) == 1 else Task.VIDEO_GENERATION
    read = [parse_point(judgement, contract=contract, task=task) for contract in POINTS if _scores(contract, task)]
    scores = next((found for found in read if not isinstance(found, ParseFailure)), None)
    if scores is None:
        raise FieldError("conversations", f"has no scores that can be read: {judgement[:120]!r}")
    return Member(
        group=payload.text,
        task=task,
        text=payload.text,
        medium=frames[0] if task is Task.IMAGE_GENERATION else frames or row.text("video"),
        scores=_compared(scores.scores, scores.score),
        under=places_of(row),
        notes={"origin": row.get("source")},
    )


def flex_pair(row: Row, folder: InputFolder) -> Iterator[Pair]:
    human, judgement = conversation(row)
    stated = json_object(judgement)
    if stated is None:
        raise LeftOut("no verdict as JSON (scores: data=official_pair_scores, data=official_point_scores)")
    noun = str(stated.get("winner")).lower().partition(" ")[0]
    if noun not in ("image", "video"):
        raise FieldError("conversations", f"names the winner {stated.get('winner')!r}; it must be like 'Image 1'")
    task = Task.IMAGE_GENERATION if noun == "image" else Task.VIDEO_GENERATION
    read = parse_flex(judgement, task)
    if isinstance(read, ParseFailure):
        raise FieldError("conversations", f"the judgement cannot be read ({read.kind}): {read.excerpt[-80:]!r}")
    said = stated.get("prompt")
    payload = read_payload(human) or (Payload(text=said) if isinstance(said, str) and said.strip() else None)
    yield official_pair(
        row,
        folder,
        payload=payload or _caption(human),
        noun=noun,
        preference=read.verdict,
        label_origin=LabelOrigin.DISTILLED,
        scores=read.scores,
    )


def _caption(human: str) -> Payload:
    payload = read_payload(human)
    if payload is None or not payload.is_generation:
        raise FieldError("conversations", "the prompt holds no caption in a known wording")
    return payload


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise FieldError("conversations", f"has the score {text[:40]!r}, which is no number")
    return value


def _scores(contract: PointContract, task: Task) -> bool:
    """ACS is about images, APS about videos."""
    other = {PointContract.ACS: Task.VIDEO_GENERATION, PointContract.APS: Task.IMAGE_GENERATION}.get(contract)
    return task is not other


def _compared(scores: dict[str, float], overall: float) -> dict[str, float]:
    """A stated final score decides by itself; marks of a caption's elements are other ones for each caption."""
    return scores if scores and overall == fmean(scores.values()) else {"final": overall}


def _source(name: str, repository: str, *, origin: LabelOrigin, **reader: Any) -> Source:
    return Source(
        name=name,
        repository=repository,
        revision="card",
        licence="MIT on the card, the originals' terms below",
        commercial_ok=False,
        label_origin=origin,
        tasks=(Task.IMAGE_GENERATION, Task.VIDEO_GENERATION),
        files=("**/*.json", "**/*.jsonl"),
        fields=FIELDS,
        **reader,
    )


SCORES, FLEX = "CodeGoat24/UnifiedReward-2.0-T2X-score-data", "CodeGoat24/UnifiedReward-Flex-SFT-90K"
PAIR_SCORES = _source("official_pair_scores", SCORES, origin=LabelOrigin.MODEL, pairs=scored_pair)
POINT_SCORES = _source(
    "official_point_scores",
    SCORES,
    origin=LabelOrigin.MODEL,
    member=scored_candidate,
    winner_first=True,
    options=("pairing",),
    pairing="extremes",
)
FLEX_VERDICTS = _source("official_flex", FLEX, origin=LabelOrigin.DISTILLED, pairs=flex_pair)
