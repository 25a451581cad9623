"""A judge that says how sure it is: a contract with a stated confidence, and the reward that makes stating the truth pay.

urt-train stage=grpo judge.dialect=confidence_reward:CONFIDENT grpo.rewards.confidence_reward:right_and_sure=1
"""

import re

from urt_core import Contract, Judgement, ParseFailure, Preference, Task
from urt_core.judgement import FailureKind
from urt_core.prompts import PointScale
from urt_core.rewards import RewardInput

PROMPT = """Image 1: {first}
Image 2: {second}
Caption: {caption}
Which image shows the caption better? Say in a sentence what you see. Then name the better one, and how likely it is that
you are right, from 0 to 1, on the last two lines:
Better: Image 1
Confidence: 0.8"""
LINES = re.compile(r"^Better: Image ([12])\nConfidence: (0(?:\.\d{1,6})?|1(?:\.0{1,6})?)\s*\Z", re.MULTILINE)


def read(text: str, task: Task) -> Judgement | ParseFailure:
    """Only the last two lines decide; a confidence outside of 0 to 1 is none."""
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    found = LINES.search(text)
    if found is None:
        return ParseFailure.at(FailureKind.MISSING_SCORE, text)
    verdict = Preference.FIRST if found.group(1) == "1" else Preference.SECOND
    return Judgement(verdict=verdict, scores={}, reasoning=text[: found.start()].strip())


def verdict(task: Task, preference: Preference) -> str:
    return f"Better: Image {1 if preference is Preference.FIRST else 2}\nConfidence: 1"


CONFIDENT = Contract(
    title="Confidence",
    templates={Task.IMAGE_GENERATION: PROMPT},
    scales={Task.IMAGE_GENERATION: PointScale(low=0, high=1, dimensions=("confidence",))},
    read=read,
    verdict=verdict,
    has_shape=lambda text, judgement: bool(judgement.reasoning),
)


def right_and_sure(sample: RewardInput) -> float:
    """right - (q - right)^2 (RLCR, arXiv 2507.16806), from -1 to 1. Whatever the answer, its mean is highest where q is the share of
    such answers that are right, and for such a q it rises with that share. What can't be read earns -1, as a wrong answer that is sure."""
    found = LINES.search(sample.completion.text)
    if found is None or not isinstance(sample.judgement, Judgement):
        return -1.0
    right = float(sample.judgement.verdict is sample.record.preference)
    return right - (float(found.group(2)) - right) ** 2
