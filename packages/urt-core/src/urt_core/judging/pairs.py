"""Judged pairs: what a judge wrote about each, how it was read, and whether it was right.

One judged pair is one line of `judgements.jsonl`. Everything in a line is as the judge was shown it: in the swapped
order, label, verdict, scores and text all speak of the swapped candidates, so that a line can be read by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from urt_core.atomic import write_whole
from urt_core.comparison import Order, Vote, read_vote, vote_margin
from urt_core.engines import Completion, FinishReason, Status, Usage
from urt_core.errors import DataError, RecordError
from urt_core.judgement import Judgement, ParseFailure
from urt_core.judging.verdict_logprob import verdict_probability
from urt_core.prompts import Dialect
from urt_core.records import Preference, PreferenceRecord, Task

SCHEMA = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedPair:
    """One pair, judged once.

    JudgedPair(key="test-000017", task=Task.IMAGE_GENERATION, cause="count", dialect=Dialect.V1, order=Order.GIVEN,
               label=Preference.FIRST, verdict=Preference.FIRST, failure=None, correct=True,
               scores={"semantic consistency": (9.0, 5.0)}, totals=(26.0, 21.0), sums_consistent=True,
               answer_matches_totals=True, num_tokens=143, text="<think>...</think><answer>Image 1 is better</answer>",
               status=Status.OK, item="17", group="count", margin=5.0, prompt_tokens=412, prompt_sha256="9f86...", question="60a1...")
    """

    key: str
    task: Task
    cause: str
    """What sets the pair apart (`metadata["cause"]`); "unknown" where the source does not say."""
    dialect: Dialect
    order: Order
    label: Preference | None
    """None where it is not known."""
    verdict: Preference | None
    """None where the text could not be read; `failure` then says why."""
    failure: str | None
    correct: bool | None
    """None where the label is a tie, which accuracy leaves out, or not known."""
    scores: Mapping[str, tuple[float, float]]
    totals: tuple[float, float] | None
    sums_consistent: bool | None
    answer_matches_totals: bool | None
    num_tokens: int
    """Of the judgement."""
    text: str
    status: Status = Status.OK
    item: str = ""
    """What several pairs may belong to (`metadata["item"]`); else the key."""
    group: str = ""
    """The benchmark's category, or the cause."""
    tie_kind: str | None = None
    """Of a label that is a tie: both good or both bad, where the source says so."""
    vote_index: int = 0
    margin: float | None = None
    """Total of the candidate shown first less that of the other."""
    verdict_probability: float | None = None
    """What the judge gave the candidate number in its answer, where log-probabilities were asked for."""
    confidence: float | None = None
    """What the judge itself says of how likely its verdict is right, from 0 to 1, where its contract asks."""
    prompt_tokens: int = 0
    detail: str = ""
    """What went wrong, for the reader of a log."""
    prompt_sha256: str = ""
    """Of what the prompt shows, text and media."""
    question: str = ""
    """Of everything that determines the answer."""

    @property
    def place(self) -> dict[str, object]:
        return {"key": self.key, "dialect": str(self.dialect), "order": str(self.order), "vote_index": self.vote_index}

    @property
    def completion(self) -> Completion:
        """What the judge answered, as far as a line keeps it."""
        ended = {
            Status.OK: FinishReason.STOP,
            Status.PARSE_ERROR: FinishReason.STOP,
            Status.TRUNCATED: FinishReason.LENGTH,
        }
        reason = ended.get(self.status) or FinishReason(str(self.status))
        usage = Usage(prompt_tokens=self.prompt_tokens, completion_tokens=self.num_tokens)
        return Completion(text=self.text, finish_reason=reason, usage=usage, detail=self.detail)

    def to_json(self) -> dict[str, object]:
        return (
            {"schema": SCHEMA}
            | {name: getattr(self, name) for name in self.__slots__}
            | {
                "scores": {dimension: list(pair) for dimension, pair in self.scores.items()},
                "totals": None if self.totals is None else list(self.totals),
            }
        )

    def to_line(self) -> str:
        return json.dumps(self.to_json(), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> JudgedPair:
        """Reads what any earlier version has written: what it did not have is missing here, and what is not known here
        is passed over. `DataError` where it is no judgement, or one that would be read wrongly."""
        schema = line.get("schema", 1) if isinstance(line, Mapping) else None
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            found = f"has schema {schema!r:.60}" if isinstance(line, Mapping) else f"is {line!r:.60}"
            raise DataError(f"a judgement {found}; it must be an object whose schema is a whole number from 1 on")
        if schema > SCHEMA:
            raise DataError(f"a judgement has schema {schema}, this urt reads up to {SCHEMA}; update urt-core")
        needed = {item.name for item in fields(cls) if item.default is MISSING}
        if missing := sorted(needed - line.keys()):
            raise DataError(f"a judgement lacks {', '.join(missing)}; judge again")
        try:
            return cls._read(line)
        except (ValueError, TypeError, AttributeError, RecordError) as error:
            raise DataError(
                f"a judgement can't be read ({error}); name its contract first, or update urt-core"
            ) from error

    @classmethod
    def _read(cls, line: Mapping[str, Any]) -> JudgedPair:
        known = {item.name: line[item.name] for item in fields(cls) if item.name in line}
        label, verdict = line["label"], line["verdict"]
        status = Status.OK if line["failure"] is None else Status.PARSE_ERROR
        return cls(
            **{
                **known,
                "task": Task(line["task"]),
                "dialect": Dialect(line["dialect"]),
                "order": Order(line["order"]),
                "label": None if label is None else Preference(label),
                "verdict": None if verdict is None else Preference(verdict),
                "scores": {dimension: tuple(pair) for dimension, pair in line["scores"].items()},
                "totals": None if line["totals"] is None else tuple(line["totals"]),
                "status": Status(line.get("status", status)),
            }
        )


def judged_pair(
    shown: PreferenceRecord,
    completion: Completion,
    *,
    order: Order,
    dialect: Dialect,
    vote_index: int = 0,
    question: str = "",
    prompt_sha256: str = "",
) -> JudgedPair:
    """`shown` is the record as the judge saw it, exchanged where `order` says so."""
    vote = read_vote(completion, order=order, task=shown.task, dialect=dialect)
    read = vote.judgement if isinstance(vote.judgement, Judgement) else None
    label, facts = shown.preference, shown.metadata
    cause = str(facts.get("cause", "unknown"))
    margin = None if read is None else vote_margin(vote)
    return JudgedPair(
        key=shown.key,
        task=shown.task,
        cause=cause,
        dialect=dialect,
        order=order,
        label=label,
        verdict=None if read is None else read.verdict,
        failure=failure_of(vote),
        correct=None if label in (None, Preference.TIE) else read is not None and read.verdict is label,
        scores={} if read is None else dict(read.scores),
        totals=None if read is None else read.totals,
        sums_consistent=None if read is None else read.sums_consistent,
        answer_matches_totals=None if read is None else read.answer_matches_totals,
        num_tokens=len(completion.token_ids) or completion.usage.completion_tokens,
        text=completion.text,
        status=vote.status,
        item=str(facts.get("item") or shown.key),
        group=str(facts.get("category") or facts.get("cause") or ""),
        tie_kind=facts.get("tie_kind"),
        vote_index=vote_index,
        margin=-margin if margin is not None and order is Order.SWAPPED else margin,
        verdict_probability=None if read is None else verdict_probability(completion),
        confidence=None if read is None else read.confidence,
        prompt_tokens=completion.usage.prompt_tokens,
        detail=completion.detail,
        prompt_sha256=prompt_sha256,
        question=question,
    )


def failure_of(vote: Vote) -> str | None:
    """Why there is no verdict: the kind of parse failure, or the status of a judgement that was not finished."""
    if vote.status is Status.OK:
        return None
    return str(vote.judgement.kind) if isinstance(vote.judgement, ParseFailure) else str(vote.status)


def read_completion(completion: Completion, *, task: Task, dialect: Dialect) -> Judgement | ParseFailure:
    """A completion cut off by its length limit, refused or never answered is no judgement, whatever stands in its
    text."""
    vote = read_vote(completion, order=Order.GIVEN, task=task, dialect=dialect)
    if vote.judgement is not None:
        return vote.judgement
    return ParseFailure(kind=str(completion.status), excerpt=completion.text[-160:] or completion.detail[:160])


def write_judged_pairs(path: Path, pairs: Sequence[JudgedPair]) -> None:
    lines = (json.dumps(pair.to_json(), ensure_ascii=False, allow_nan=False) for pair in pairs)
    write_whole(path, "".join(f"{line}\n" for line in lines))


def read_judged_pairs(path: Path) -> list[JudgedPair]:
    """A DataError names the line that is no judgement."""
    pairs: list[JudgedPair] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                pairs.append(JudgedPair.from_json(json.loads(line)))
            except (DataError, ValueError, RecursionError) as error:
                raise DataError(f"{path}, line {number}: {error}") from error
    return pairs
