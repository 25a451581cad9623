"""LLaVA-Critic-113k, pairwise: GPT-4o's judgement of two answers about an image, in a conversation of varying words.

    {"id", "source", "image": {"bytes", "path"}, "conversations": [
        {"from": "human", "value": "... Question: [...]\\nThe first response: [...]\\nThe second response: [...]"},
        {"from": "gpt", "value": "The better response: [first]. ..."}]}

Rows about a single answer (the pointwise subset) are left out. GPT-4o's reasons are not kept.
"""

import re
from collections.abc import Iterator

from urt_core.records import Preference, Task
from urt_data.sources.folder import InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, compare
from urt_data.sources.rows import FieldError, LeftOut, Row
from urt_data.sources.source import Source

QUESTIONS = (
    re.compile(
        r"Question: \[(?P<question>.*?)\]\s*\n\s*(?:The first response|Response [1A]): \[(?P<first>.*?)\]\s*\n\s*"
        r"(?:The second response|Response [2B]): \[(?P<second>.*)\]",
        re.S,
    ),
    re.compile(
        r"<\|User Prompt\|>\s*(?P<question>.*?)\s*<\|The Start of Assistant A's Answer\|>\s*(?P<first>.*?)\s*"
        r"<\|The End of Assistant A's Answer\|>\s*<\|The Start of Assistant B's Answer\|>\s*(?P<second>.*?)\s*"
        r"<\|The End of Assistant B's Answer\|>",
        re.S,
    ),
    re.compile(
        r"\[Question\]\s*(?P<question>.*?)\s*\[Assistant 1\]\s*(?P<first>.*?)\s*\[End of Assistant 1\]\s*"
        r"\[Assistant 2\]\s*(?P<second>.*?)\s*\[End of Assistant 2\]",
        re.S,
    ),
)
BETTER = re.compile(r"The better response: \[?(first|second|1|2|A|B)\]?", re.I)
ARENA = re.compile(r"\[\[(A>>B|A>B|A=B|B>A|B>>A)\]\]")
TWO_SCORES = re.compile(r"\s*(\d+(?:\.\d+)?)[ ,]+(\d+(?:\.\d+)?)\s*(?:\n|$)")
SINGLE = re.compile(r"Final Score|^\s*\d+(?:\.\d+)?\s*(?:\n|$)")


def pairs(row: Row, folder: InputFolder) -> Iterator[Pair]:
    human, judgement = (_value(turn) for turn in row.items("conversations", length=2))
    match = next((found for pattern in QUESTIONS if (found := pattern.search(human))), None)
    if match is None:
        if SINGLE.search(judgement):
            raise LeftOut("pointwise: one answer and its score, no pair")
        raise FieldError("conversations", "holds no question with two answers in a known wording")
    yield Pair(
        task=Task.IMAGE_UNDERSTANDING,
        text=match["question"].replace("<image>", "").strip(),
        first=match["first"].strip(),
        second=match["second"].strip(),
        media=folder.image(row.require("image"), "image", under=("", "images")),
        preference=_preference(judgement),
        notes={"subset": row.get("source")},
    )


def _value(turn: object) -> str:
    value = turn.get("value") if isinstance(turn, dict) else None
    if not isinstance(value, str):
        raise FieldError("conversations", "has a turn without a text `value`")
    return value


def _preference(judgement: str) -> Preference:
    if better := BETTER.search(judgement):
        return Preference.FIRST if better[1].lower() in ("first", "1", "a") else Preference.SECOND
    if arena := ARENA.findall(judgement):
        return (
            Preference.TIE if "=" in arena[-1] else Preference.FIRST if arena[-1].startswith("A") else Preference.SECOND
        )
    if scores := TWO_SCORES.match(judgement):
        return compare(float(scores[1]), float(scores[2]))
    if "equally good" in judgement[-300:]:
        return Preference.TIE
    raise FieldError("conversations", f"ends in no known verdict: {judgement[-80:]!r}")


SOURCE = Source(
    name="llava_critic",
    repository="lmms-lab/LLaVA-Critic-113k",
    revision="lmms-lab/LLaVA-Critic-113k@7aa893ac47",
    licence="Apache-2.0, judged by GPT-4o",
    commercial_ok=False,
    label_origin=LabelOrigin.MODEL,
    tasks=(Task.IMAGE_UNDERSTANDING,),
    files=("pairwise/*.parquet", "*.json", "*.jsonl"),
    fields=("source", "image", "conversations"),
    pairs=pairs,
)
