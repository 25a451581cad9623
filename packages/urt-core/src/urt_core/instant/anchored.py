"""One candidate against the anchors of its judge: how it is asked, and the score on their scale.

candidate, under its own prompt, beside each anchor --at once, both orders--> calibrated probabilities of beating them --> score, interval
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import NormalDist
from typing import Any

from urt_core.comparison import Comparison
from urt_core.engines import Completion, Status, Usage
from urt_core.errors import ConfigError, RecordError
from urt_core.instant.anchors import FEWEST, Anchor, AnchorSet, log_odds_of, sigmoid
from urt_core.instant.calibration import InstantCalibration
from urt_core.judging.asking import Question
from urt_core.judging.faults import faulty
from urt_core.points import PointRequest, PointScore, failed_score
from urt_core.prompts import PointContract
from urt_core.records import PreferenceRecord

ANCHORS = "anchors"
CONFIDENCE = 0.95


def ready_for_scores(
    against: str, *, anchors: AnchorSet | None, calibration: InstantCalibration | None
) -> dict[str, Any]:
    """What `ask_anchored` needs of a judge; a ConfigError where it has nothing to hold a candidate against, or no map that makes a
    probability of what it says."""
    if against != ANCHORS:
        raise ConfigError(f"against is {against!r:.80}; allowed: {ANCHORS!r}, or None to score by a contract")
    if anchors is None:
        raise ConfigError(
            "against is anchors, and this judge has none in its judge.json; score by a contract, or train a judge that has: urt-train"
            " stage=internalise (docs/serving.md)"
        )
    if calibration is None:
        raise ConfigError(
            "against is anchors, whose score is a calibrated probability, and this judge has no calibration in its judge.json; score by a"
            " contract, or train a judge that has: urt-train stage=internalise (docs/serving.md)"
        )
    return {"anchors": anchors, "calibration": calibration}


def ask_anchored(
    request: PointRequest | PointScore,
    *,
    anchors: AnchorSet,
    calibration: InstantCalibration,
    ask: Callable[[PreferenceRecord], Question[Comparison] | Comparison],
    origin: Mapping[str, Any],
) -> Question[PointScore] | PointScore:
    """The candidate beside each anchor of its task, all in one question; what failed before it could be asked passes through, and a task
    for which the judge has no scale, or what is no candidate of its task, fails so."""
    if isinstance(request, PointScore):
        return replace(request, contract=None, against=ANCHORS)
    try:
        calibration.of(request.task)
        return question_of(request, anchors.of(request.task), ask=ask, origin=origin)
    except (ConfigError, RecordError) as error:
        failed = failed_score(
            key=request.key, task=request.task, completion=faulty(error), contract=PointContract.THINK
        )
        return replace(failed, contract=None, against=ANCHORS)


def question_of(
    request: PointRequest,
    anchors: Sequence[Anchor],
    *,
    ask: Callable[[PreferenceRecord], Question[Comparison] | Comparison],
    origin: Mapping[str, Any],
) -> Question[PointScore] | PointScore:
    asked = [
        ask(
            PreferenceRecord(
                key=f"anchor-{number}",
                task=request.task,
                text=request.text,
                first=request.candidate,
                second=anchor.candidate,
                media=request.media,
            )
        )
        for number, anchor in enumerate(anchors)
    ]

    def read(groups: Sequence[Sequence[Completion]]) -> PointScore:
        rest = iter(groups)
        compared = [one.read([next(rest) for _ in one.prompts]) if isinstance(one, Question) else one for one in asked]
        return anchored_score(request, anchors, compared, origin=origin)

    prompts = tuple(prompt for one in asked if isinstance(one, Question) for prompt in one.prompts)
    return Question(prompts=prompts, read=read) if prompts else read([])


def anchored_score(
    request: PointRequest, anchors: Sequence[Anchor], compared: Sequence[Comparison], *, origin: Mapping[str, Any]
) -> PointScore:
    """The mean probability of beating the anchors; without a number where half of them or more could not be judged.

    An anchor that could not be judged counts as a candidate of the fitted strength would do against it, so that the score stays one against
    the whole set.
    """
    probabilities = [c.probability_first if c.status is Status.OK else None for c in compared]
    judged = [comparison for comparison in compared if comparison.probability_first is not None]
    usage = sum((comparison.usage for comparison in compared), Usage())
    texts = tuple(vote.completion.text for comparison in compared for vote in comparison.votes)
    score, interval, status, detail = None, None, Status.OK, ""
    if len(judged) >= FEWEST and 2 * len(judged) > len(anchors):
        score, interval = held_against([anchor.strength for anchor in anchors], probabilities)
    else:
        failed = [comparison for comparison in compared if comparison.status is not Status.OK]
        [(status, _)] = Counter(comparison.status for comparison in failed).most_common(1)
        reason = next(comparison.detail for comparison in failed if comparison.status is status)
        detail = f"{len(failed)} of {len(anchors)} anchors could not be judged: {reason}"
    return PointScore(
        key=request.key,
        task=request.task,
        contract=None,
        against=ANCHORS,
        status=status,
        score=score,
        fraction=score,
        interval=interval,
        calibrated=score is not None and all(comparison.calibrated for comparison in judged),
        num_votes=len(texts),
        num_failed=sum(comparison.num_failed for comparison in compared),
        texts=texts,
        usage=usage,
        detail=detail,
        **origin,
    )


def held_against(
    strengths: Sequence[float], probabilities: Sequence[float | None]
) -> tuple[float, tuple[float, float]]:
    """(score, 95 % interval) of a candidate that beats the anchor of each strength with these probabilities; None: not known.

    The interval is score +- t s / sqrt(n): s**2 is the sum of squares of what the probabilities differ by from those of the one strength that
    fits them best, over n - 1 (one strength was fitted), t Student's quantile of n - 1 degrees. It says how far the score depends on which
    anchors of these strengths stand there. It knows nothing of what the judge gets wrong of all anchors alike.
    """
    known = [(strength, p) for strength, p in zip(strengths, probabilities, strict=True) if p is not None]
    n = len(known)
    own = log_odds_of(math.fsum(p for _, p in known) / n, [strength for strength, _ in known])
    filled = [sigmoid(own - strength) if p is None else p for strength, p in zip(strengths, probabilities, strict=True)]
    score = min(max(math.fsum(filled) / len(filled), 0.0), 1.0)
    rest = math.sqrt(math.fsum((p - sigmoid(own - strength)) ** 2 for strength, p in known) / (n - 1))
    half = student_quantile(n - 1) * rest / math.sqrt(n)
    return score, (max(0.0, score - half), min(1.0, score + half))


def student_quantile(degrees: int) -> float:
    """Of the two-sided 95 % interval, by the expansion in 1 / degrees around the normal one (Fisher and Cornish 1960; Abramowitz and Stegun
    26.7.5); from 3 degrees on within 1 %, of 2 exactly."""
    if degrees == 2:
        alpha = CONFIDENCE
        return alpha * math.sqrt(2 / (1 - alpha * alpha))
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, start=1))
