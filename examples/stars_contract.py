"""A contract of judging: both images get one to five stars, and the one with more of them is better.

urt compare --dialect stars_contract:STARS --base-url http://localhost:8000/v1 --model judge --input pairs.jsonl ...
urt-train stage=grpo judge.dialect=stars_contract:STARS ...
"""

import re

from urt_core import Contract, Judgement, ParseFailure, Preference, Task
from urt_core.judgement import FailureKind
from urt_core.prompts import PointScale

PROMPT = """Image 1: {first}
Image 2: {second}
Caption: {caption}
How well does each image show the caption? Say in a sentence what you see, then give each one to five stars, the better
one more than the other, on the last two lines:
Image 1: ***
Image 2: *****"""
LINES = re.compile(r"^Image 1: ?(\*{1,5}) ?\nImage 2: ?(\*{1,5})\s*\Z", re.MULTILINE)


def read(text: str, task: Task) -> Judgement | ParseFailure:
    """Only the last two lines decide. Equal stars are no verdict: the prompt asks for a better one."""
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    found = LINES.search(text)
    if found is None:
        return ParseFailure.at(FailureKind.MISSING_SCORE, text)
    first, second = (float(len(stars)) for stars in found.groups())
    if first == second:
        return ParseFailure.at(FailureKind.TIE_NOT_ALLOWED, text)
    return Judgement(
        verdict=Preference.FIRST if first > second else Preference.SECOND,
        scores={"stars": (first, second)},
        totals=(first, second),
        reasoning=text[: found.start()].strip(),
    )


def verdict(task: Task, preference: Preference) -> str:
    """The shortest completion that says it."""
    stars = ("*****", "*") if preference is Preference.FIRST else ("*", "*****")
    return f"Image 1: {stars[0]}\nImage 2: {stars[1]}"


STARS = Contract(
    title="Stars",
    templates={Task.IMAGE_GENERATION: PROMPT},
    scales={Task.IMAGE_GENERATION: PointScale(low=1, high=5, dimensions=("stars",))},
    read=read,
    verdict=verdict,
    has_shape=lambda text, judgement: bool(judgement.reasoning),  # what the format reward pays for
)
