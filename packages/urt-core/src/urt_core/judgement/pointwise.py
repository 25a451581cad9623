"""Reads the scores of the pointwise contracts. A contract's scores are all there, or the text is a `ParseFailure`."""

import re
from dataclasses import dataclass

from urt_core.judgement.blocks import cut_blocks
from urt_core.judgement.final import final_answer
from urt_core.judgement.result import FailureKind, Judgement, ParseFailure
from urt_core.judgement.signs import plain_signs
from urt_core.prompts.names import contract_of
from urt_core.prompts.pointwise import PointContract, point_scale
from urt_core.prompts.scale import PointScale
from urt_core.records import Preference, Task

_NUMBER = r"[-+]?[0-9]{1,4}(?:\.[0-9]{1,20})?"
_VALUE = rf"[ \t*_]*(?:({_NUMBER})(?!\.?\w)(?:[ \t]*/[ \t]*([0-9]{{1,3}}))?)?"
_LINE = r"\n[ \t>*_#-]*"
_FINAL_SCORE = re.compile(rf"{_LINE}final score[*_]*[ \t]*:{_VALUE}", re.IGNORECASE)
_ELEMENT = re.compile(r"\n[ \t*-]*([^\n:()]{1,80}\([^\n:()]{1,40}\))[ \t]*:[ \t]*([01])(?=[ \t]*(?:\n|$))")
_QUALITY = re.compile(
    r"\n[ \t*-]*(visual quality|temporal consistency|dynamic degree|text-to-video alignment|factual consistency)[*_]*[ \t]*:"
    r"[ \t*_]*([1-4])(?![0-9.])",
    re.IGNORECASE,
)
_NAMED_SCORE = re.compile(
    rf"{_LINE}([a-z]{{1,20}}) score[*_]*[ \t]*(?:\([0-9][^()\n]{{0,8}}\))?[*_]*[ \t]*:{_VALUE}", re.IGNORECASE
)
_PAIR_BLOCK = re.compile(rf"{_LINE}([a-z]{{1,20}}) score[*_]*[ \t]*:", re.IGNORECASE)
_SHARE = re.compile(rf"(?:image|video)[ \t]*([12])[ \t*_]*:[ \t]*(?:({_NUMBER})(?!\.?\w))?", re.IGNORECASE)
_MEAN_TOLERANCE = 0.0501
"""A mean is stated with at least one decimal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PointJudgement:
    """The scores of one candidate.

    PointJudgement(score=3.5, scale=PointScale(low=1, high=5, dimensions=("alignment", "coherence", "style")),
                   scores={"alignment": 4.0, "coherence": 3.5, "style": 3.0}, reasoning="")
    """

    score: float
    """The overall score: as stated, or the mean of the dimensions where the contract states none (ACS, APS)."""
    scale: PointScale
    scores: dict[str, float]
    """Lower-case dimension, or element of the caption -> its score."""
    mean_consistent: bool | None = None
    """Whether a stated score is the mean of the dimensions; None where the contract does not ask for it."""
    reasoning: str = ""

    @property
    def fraction(self) -> float:
        """The overall score on the scale from 0 to 1."""
        return (self.score - self.scale.low) / (self.scale.high - self.scale.low)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairScores:
    """Both candidates' shares: PairScores(scores={"alignment": (0.62, 0.38), "coherence": (0.5, 0.5), "style": (0.55,
    0.45)})."""

    scores: dict[str, tuple[float, float]]

    @property
    def means(self) -> tuple[float, float]:
        first, second = zip(*self.scores.values(), strict=True)
        return sum(first) / len(first), sum(second) / len(second)

    @property
    def sums_consistent(self) -> bool:
        """Whether the two shares of each dimension sum to 1."""
        return all(abs(first + second - 1.0) <= 0.0101 for first, second in self.scores.values())


def parse_point(text: str, *, contract: PointContract, task: Task) -> PointJudgement | ParseFailure:
    """Reads the scores of one candidate. Never raises on any string."""
    return contract_of(PointContract(contract)).read(text, Task(task))  # type: ignore[return-value]


def read_final_score(text: str, task: Task) -> PointJudgement | ParseFailure:
    """UnifiedReward 1.0: `Final Score: s` on a line of its own, and marks of elements or qualities in front of it."""
    scale, text = point_scale(PointContract.FINAL_SCORE, task), plain_signs(text)
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    lines = "\n" + text
    score = _one_value([match.groups() for match in _FINAL_SCORE.finditer(lines)], scale)
    if isinstance(score, FailureKind):
        return ParseFailure.at(score, text)
    pattern = {Task.IMAGE_GENERATION: _ELEMENT, Task.VIDEO_GENERATION: _QUALITY}.get(task)
    marks = pattern.findall(lines) if pattern else []
    return PointJudgement(
        score=score,
        scale=scale,
        scores={name.strip().lower(): float(mark) for name, mark in marks},
        reasoning=text.strip(),
    )


def read_named_scores(text: str, task: Task, *, contract: PointContract) -> PointJudgement | ParseFailure:
    """UnifiedReward 2.0: `<Dimension> Score (1-5): s`, one line for each dimension of the contract."""
    scale, text = point_scale(contract, task), plain_signs(text)
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)
    scores: dict[str, float] = {}
    found = [match.groups() for match in _NAMED_SCORE.finditer("\n" + text)]
    for dimension in scale.dimensions:
        score = _one_value([(number, of) for name, number, of in found if name.lower() == dimension], scale)
        if isinstance(score, FailureKind):
            return ParseFailure.at(score, text)
        scores[dimension] = score
    return PointJudgement(score=sum(scores.values()) / len(scores), scale=scale, scores=scores, reasoning=text.strip())


def parse_pair_score(text: str, *, task: Task) -> PairScores | ParseFailure:
    """Reads both candidates' shares of each dimension. A NaN, or a dimension without both shares, is a failure."""
    scale = point_scale(PointContract.PAIR_SCORE, task)
    lines = "\n" + plain_signs(text)
    headers = list(_PAIR_BLOCK.finditer(lines))
    bounds = [*(header.start() for header in headers), len(lines)]
    found: dict[tuple[str, str], list[tuple[str | None, str | None]]] = {}
    for header, end in zip(headers, bounds[1:], strict=True):
        for share in _SHARE.finditer(lines, header.end(), end):
            found.setdefault((header[1].lower(), share[1]), []).append((share[2], None))
    scores: dict[str, tuple[float, float]] = {}
    for dimension in scale.dimensions:
        first, second = (_one_value(found.get((dimension, candidate), []), scale) for candidate in "12")
        for share in (first, second):
            if isinstance(share, FailureKind):
                return ParseFailure.at(share, text)
        scores[dimension] = (float(first), float(second))
    return PairScores(scores=scores)


def read_pair_scores(text: str, task: Task) -> Judgement | ParseFailure:
    """`parse_pair_score` as a comparison: the candidate with the larger shares is the better one, equal ones are a
    tie."""
    shares = parse_pair_score(text, task=task)
    if isinstance(shares, ParseFailure):
        return shares
    first, second = shares.means
    verdict = Preference.FIRST if first > second else Preference.SECOND if second > first else Preference.TIE
    return Judgement(
        verdict=verdict,
        scores=shares.scores,
        totals=(first, second),
        sums_consistent=shares.sums_consistent,
        answer_matches_totals=True,
        reasoning=text.strip(),
    )


def _one_value(found: list, scale: PointScale) -> float | FailureKind:
    """The one value that all of `found`, pairs of a number and what it is out of, agree on."""
    if not found or any(number is None for number, _ in found):
        return FailureKind.MISSING_SCORE
    values = {float(number) for number, _ in found}
    if len(values) > 1:
        return FailureKind.CONFLICTING_ANSWERS
    value = values.pop()
    wrong_base = any(of is not None and float(of) != scale.high for _, of in found)
    return FailureKind.OUT_OF_SCALE if wrong_base or not scale.low <= value <= scale.high else value


_THINK_ANSWER = re.compile(
    rf"(?:score|final score|mean)[ \t]*:[ \t]*({_NUMBER})(?:[ \t]*/[ \t]*(10))?\.?", re.IGNORECASE
)
_THINK_SCORE = re.compile(
    rf"\n[ \t>#-]*(?:[0-9]{{1,2}}[.)][ \t]*)?[\[*_]*([a-z][a-z -]{{0,60}}?)[\]*_]*[ \t]*[:(]?[ \t(]*({_NUMBER})[ \t]*/[ \t]*10(?!\.?[0-9])"
)


def read_think(text: str, task: Task) -> PointJudgement | ParseFailure:
    """Our own: scores of the core dimensions in a think block, their mean in the answer block."""
    scale, text = point_scale(PointContract.THINK, task), plain_signs(text)
    if not text.strip():
        return ParseFailure.at(FailureKind.EMPTY)

    def read(content: str) -> float | FailureKind:
        match = _THINK_ANSWER.fullmatch(" ".join(content.split()))
        return _one_value([match.groups()], scale) if match else FailureKind.UNREADABLE_ANSWER

    blocks = cut_blocks(text)
    score = final_answer(blocks, read)
    if isinstance(score, ParseFailure):
        return score
    found: dict[str, set[float]] = {}
    for name, number in _THINK_SCORE.findall("\n" + blocks.reasoning.lower()):
        found.setdefault(" ".join(name.split()), set()).add(float(number))
    scores = {name: value.pop() for name, value in found.items() if len(value) == 1}
    scores = {name: value for name, value in scores.items() if scale.low <= value <= scale.high}
    core = [scores[name] for name in scale.dimensions if name in scores]
    consistent = None
    if len(core) == len(scale.dimensions):
        consistent = abs(sum(core) / len(core) - score) <= _MEAN_TOLERANCE
    return PointJudgement(
        score=score, scale=scale, scores=scores, mean_consistent=consistent, reasoning=blocks.reasoning
    )
