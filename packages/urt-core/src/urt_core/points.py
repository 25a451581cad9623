"""The score of one candidate: what `Scorer.score` asks and returns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

from urt_core.contracts import load_contract
from urt_core.engines import Completion, Status, Usage
from urt_core.errors import PromptError, TemplateError
from urt_core.judgement import ParseFailure, PointJudgement, parse_point
from urt_core.judging.asking import Question
from urt_core.judging.faults import faulty
from urt_core.prompts import PointContract, render_point
from urt_core.records import Candidate, Media, Task


@dataclass(frozen=True, kw_only=True, slots=True)
class PointRequest:
    """One candidate to score.

    PointRequest(key="sample-3", task=Task.IMAGE_GENERATION, text="a red cube",
                 candidate=Media(kind=MediaKind.IMAGE, files=("a.png",)))
    """

    key: str
    task: Task
    text: str
    """The caption or the question."""
    candidate: Candidate
    """Media in generation, the answer's text in understanding."""
    media: Media | None = None
    """What the question is about; understanding only."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PointScore:
    """The score of one candidate. Where `status` is not `ok` there is no number.

    PointScore(key="sample-3", task=Task.IMAGE_GENERATION, contract=PointContract.ACS, status=Status.OK, score=3.8,
               fraction=0.7, scores={"alignment": 4.0, "coherence": 3.9, "style": 3.5}, ...)
    """

    key: str
    task: Task | None
    """None where the request was so wrong that it has none."""
    contract: PointContract | None
    """None where it was held against anchors."""
    status: Status
    score: float | None
    """On the contract's own scale, the mean over the readable votes; against anchors the mean probability of beating them."""
    fraction: float | None
    """The score on a scale from 0 to 1."""
    scores: dict[str, float] = field(default_factory=dict)
    """Lower-case dimension -> mean score."""
    num_votes: int = 0
    """Completions that were asked for; against anchors two for each, one in each order."""
    num_failed: int = 0
    judgements: tuple[PointJudgement | ParseFailure, ...] = field(default=(), repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    preprocessing: str = ""
    detail: str = ""
    wording: str = ""
    """What there is to say about the prompt, where it is not the one that the judge was trained with."""
    against: str = ""
    """What it was held against: "anchors", or nothing."""
    interval: tuple[float, float] | None = None
    """Of a score against anchors, 95 %: from the spread of what they say around one strength (`urt_core.instant.anchored.held_against`)."""
    calibrated: bool = False
    """Whether `score` is a probability that is calibrated by the maps in the judge's judge.json."""

    def to_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "task": None if self.task is None else str(self.task),
            "contract": None if self.contract is None else str(self.contract),
            "status": str(self.status),
            "score": self.score,
            "fraction": self.fraction,
            "scores": self.scores,
            "num_votes": self.num_votes,
            "num_failed": self.num_failed,
            "texts": list(self.texts),
            "usage": self.usage.to_json(),
            "model": self.model,
            "preprocessing": self.preprocessing,
            "detail": self.detail,
            **({"wording": self.wording} if self.wording else {}),
            **(
                {
                    "against": self.against,
                    "interval": list(self.interval) if self.interval else None,
                    "calibrated": self.calibrated,
                }
                if self.against
                else {}
            ),
        }


def ask_point(
    request: PointRequest | PointScore,
    contract: PointContract,
    *,
    templates: str | PathLike[str] | None,
    origin: Mapping[str, str],
) -> Question[PointScore] | PointScore:
    """The candidate by `contract`; what failed before it could be asked passes through."""
    if isinstance(request, PointScore):
        return request
    try:
        prompt = render_point(
            contract=contract,
            task=request.task,
            text=request.text,
            candidate=request.candidate,
            media=request.media,
            key=request.key,
            templates=templates,
        )
    except TemplateError:
        raise  # of all requests, not of this one
    except PromptError as error:
        return failed_score(key=request.key, task=request.task, completion=faulty(error), contract=contract)
    return Question(prompts=(prompt,), read=lambda groups: score_votes(request, groups[0], contract=contract, **origin))


def score_votes(
    request: PointRequest,
    completions: Sequence[Completion],
    *,
    contract: PointContract,
    model: str = "",
    preprocessing: str = "",
    wording: str = "",
) -> PointScore:
    """Mean over the readable completions; without any, the most frequent reason of failure."""
    judgements: list[PointJudgement | ParseFailure] = []
    statuses: list[Status] = []
    details: list[str] = []
    for completion in completions:
        status, detail = completion.status, completion.detail
        if status is Status.OK:
            judgement = parse_point(completion.text, contract=contract, task=request.task)
            judgements.append(judgement)
            if isinstance(judgement, ParseFailure):
                status, detail = Status.PARSE_ERROR, f"{judgement.kind}: {judgement.excerpt}"
        statuses.append(status)
        details.append(detail)
    readable = [judgement for judgement in judgements if isinstance(judgement, PointJudgement)]
    status = Status.OK if readable else Counter(statuses).most_common(1)[0][0]
    dimensions = dict.fromkeys(name for judgement in readable for name in judgement.scores)
    return PointScore(
        key=request.key,
        task=request.task,
        contract=contract,
        status=status,
        score=mean([judgement.score for judgement in readable]),
        fraction=mean([judgement.fraction for judgement in readable]),
        scores={
            name: sum(values) / len(values)
            for name in dimensions
            if (values := [judgement.scores[name] for judgement in readable if name in judgement.scores])
        },
        num_votes=len(completions),
        num_failed=len(completions) - len(readable),
        judgements=tuple(judgements),
        texts=tuple(completion.text for completion in completions),
        usage=sum((completion.usage for completion in completions), Usage()),
        model=model,
        preprocessing=preprocessing,
        wording=wording,
        detail="" if readable else details[statuses.index(status)],
    )


def failed_score(*, key: str, task: Task | None, completion: Completion, contract: PointContract | str) -> PointScore:
    """Of a candidate that could not even be asked about."""
    return PointScore(
        key=key,
        task=task,
        contract=load_contract(contract, PointContract),
        status=completion.status,
        score=None,
        fraction=None,
        num_votes=1,
        num_failed=1,
        texts=(completion.text,),
        detail=completion.detail,
    )


def mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
