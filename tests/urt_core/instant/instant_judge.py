"""A judge that says at once what it is told to, with its log-probabilities, and reasons that the first answer is better."""

import math
from collections.abc import Sequence
from typing import Any

from urt_core import Completion, Dialect, SamplingParams, Scorer, Task
from urt_core.engines.scripted import ScriptedEngine
from urt_core.instant import Anchor, AnchorSet, CalibrationKind, InstantCalibration, TaskCalibration

REASONED = "<think>\n1. Correctness: Answer 1 ({}/10) - a; Answer 2 ({}/10) - b\n</think>\n<answer>Answer {} is better</answer>"
CALIBRATED = InstantCalibration(
    tasks={"image_understanding": TaskCalibration(kind=CalibrationKind.PLATT, num_pairs=100, slope=0.5)}
)
AS_IT_IS = InstantCalibration(
    tasks={
        task: TaskCalibration(kind=CalibrationKind.PLATT, num_pairs=100, slope=1.0)
        for task in ("image_understanding", "video_understanding")
    }
)
STRENGTHS = (-2.0, -0.5, 0.5, 2.0)
ANCHORS = AnchorSet(
    tasks={"image_understanding": tuple(Anchor(candidate=f"answer {s}", strength=s) for s in STRENGTHS)}
)
PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde\x00\x00\x00\x0cIDATx\x9cc\xf8"
    b"\xff\xff?\x00\x05\xfe\x02\xfe\r\xefF\xb8\x00\x00\x00\x00IEND\xaeB`\x82"
)


def verdict(number: int, probability: float, *, with_other: bool = True) -> Completion:
    """ "Answer 1 is better." as three tokens, of which the second is the number."""
    other = 3 - number
    likeliest = ((str(number), math.log(probability)), (str(other), math.log(1 - probability)))
    return Completion(
        text=f"Answer {number} is better.",
        token_ids=(5, number, 7),
        token_texts=("Answer ", str(number), " is better."),
        logprobs=(-0.01, math.log(probability), -0.01),
        top_logprobs=((("Answer ", -0.01),), likeliest if with_other else likeliest[:1], ((" is better.", -0.01),)),
    )


class Judge(ScriptedEngine):
    """Says at once what `instant` holds for (key, whether the order is the given one), and reasons that the first answer is better."""

    def __init__(self, instant: dict[str, tuple[Completion, Completion]]) -> None:
        self.asked: list[tuple[str, str]] = []
        self.samplings: list[SamplingParams] = []
        seen: set[tuple[str, Dialect]] = set()

        def answer(prompt, number):
            place = (prompt.key, prompt.dialect)
            is_swapped = place in seen
            seen.add(place)
            self.asked.append((prompt.key, str(prompt.dialect)))
            if prompt.dialect is Dialect.DIRECT:
                return instant[prompt.key][is_swapped]
            scores = (9, 3) if not is_swapped else (3, 9)
            return Completion(text=REASONED.format(*scores, 2 if is_swapped else 1))

        super().__init__(script=answer)

    def generate(self, prompts, sampling):
        self.samplings.append(sampling)
        return super().generate(prompts, sampling)


def pair(scorer: Scorer, key: str):
    return scorer.record(
        task=Task.IMAGE_UNDERSTANDING, text="what is it?", first="a cat", second="a dog", media=PIXEL, key=key
    )


def anchored_judge(probabilities: Sequence[float]) -> Judge:
    """Says the candidate beats each anchor with its probability, a little more in the given order than in the swapped one."""
    return Judge({f"anchor-{n}": (verdict(1, p + 0.01), verdict(2, p - 0.01)) for n, p in enumerate(probabilities)})


def anchored_scorer(engine: Judge, **settings: Any) -> Scorer:
    return Scorer(engine=engine, **{"anchors": ANCHORS, "instant_calibration": AS_IT_IS, **settings})


SURE = (verdict(1, 0.999), verdict(2, 0.999))
UNSURE = (verdict(1, 0.7), verdict(2, 0.6))
TORN = (verdict(1, 0.95), verdict(1, 0.6))
"""The first in the given order, and weakly the other candidate in the swapped one."""
