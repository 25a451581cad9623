"""Records in, judged pairs out: what a judge wrote about each pair, how it was read, and whether it was right.

One judged pair is one line of `judgements.jsonl`. Everything in a line is as the judge was shown it: in the swapped
order, label, verdict, scores and text all speak of the swapped candidates, so that a line can be read by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from urt_core import (
    Completion,
    Dialect,
    Judgement,
    ParseFailure,
    Preference,
    PreferenceRecord,
    SamplingParams,
    Status,
    Task,
    parse_judgement,
    render,
)
from urt_core.atomic import write_whole
from urt_core.comparison import Order
from urt_core.engines import Engine
from urt_core.errors import DataError


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedPair:
    """One pair, judged once.

    JudgedPair(key="test-000017", task=Task.IMAGE_GENERATION, cause="count", dialect=Dialect.V1, order=Order.GIVEN,
               label=Preference.FIRST, verdict=Preference.FIRST, failure=None, correct=True,
               scores={"semantic consistency": (9.0, 5.0)}, totals=(26.0, 21.0), sums_consistent=True,
               answer_matches_totals=True, num_tokens=143, text="<think>...</think><answer>Image 1 is better</answer>")
    """

    key: str
    task: Task
    cause: str
    """What sets the pair apart (`metadata["cause"]`); "unknown" where the source does not say."""
    dialect: Dialect
    order: Order
    label: Preference
    verdict: Preference | None
    """None where the text could not be read; `failure` then says why."""
    failure: str | None
    correct: bool | None
    """None where the label is a tie, which accuracy leaves out."""
    scores: Mapping[str, tuple[float, float]]
    totals: tuple[float, float] | None
    sums_consistent: bool | None
    answer_matches_totals: bool | None
    num_tokens: int
    text: str

    def to_json(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in self.__slots__} | {
            "scores": {dimension: list(pair) for dimension, pair in self.scores.items()},
            "totals": None if self.totals is None else list(self.totals),
        }

    @classmethod
    def from_json(cls, line: Mapping) -> JudgedPair:
        verdict = line["verdict"]
        return cls(
            **{
                **line,
                "task": Task(line["task"]),
                "dialect": Dialect(line["dialect"]),
                "order": Order(line["order"]),
                "label": Preference(line["label"]),
                "verdict": None if verdict is None else Preference(verdict),
                "scores": {dimension: tuple(pair) for dimension, pair in line["scores"].items()},
                "totals": None if line["totals"] is None else tuple(line["totals"]),
            }
        )


def read_completion(completion: Completion, *, task: Task, dialect: Dialect) -> Judgement | ParseFailure:
    """A completion cut off by its length limit, refused or never answered is no judgement, whatever stands in its text."""
    if completion.status is not Status.OK:
        return ParseFailure(kind=str(completion.status), excerpt=completion.text[-160:] or completion.detail[:160])
    return parse_judgement(completion.text, task=task, dialect=dialect)


def judge_pairs(
    engine: Engine,
    records: Sequence[PreferenceRecord],
    *,
    dialect: Dialect,
    sampling: SamplingParams,
    order: Order = Order.GIVEN,
    batch_size: int = 64,
) -> Iterator[JudgedPair]:
    """Each record's first completion, read and compared with its label; in the order of the records."""
    for start in range(0, len(records), batch_size):
        batch = [_shown(records[i], order) for i in range(start, min(start + batch_size, len(records)))]
        completions = engine.generate([render(record, dialect) for record in batch], sampling)
        for record, (completion, *_) in zip(batch, completions, strict=True):
            yield _judged(record, completion, dialect=dialect, order=order)


def write_judged_pairs(path: Path, pairs: Sequence[JudgedPair]) -> None:
    lines = (json.dumps(pair.to_json(), ensure_ascii=False, allow_nan=False) for pair in pairs)
    write_whole(path, "".join(f"{line}\n" for line in lines))


def read_judged_pairs(path: Path) -> list[JudgedPair]:
    with path.open(encoding="utf-8") as lines:
        return [JudgedPair.from_json(json.loads(line)) for line in lines]


def _shown(record: PreferenceRecord, order: Order) -> PreferenceRecord:
    if record.preference is None:
        raise DataError(
            f"record {record.key!r} has no preference, so a verdict on it is neither right nor wrong; "
            "allowed: records with preference first, second or tie. Leave the unlabelled records out"
        )
    return record if order is Order.GIVEN else record.swap()


def _judged(record: PreferenceRecord, completion: Completion, *, dialect: Dialect, order: Order) -> JudgedPair:
    reading = read_completion(completion, task=record.task, dialect=dialect)
    read = reading if isinstance(reading, Judgement) else None
    label = record.preference
    assert label is not None
    return JudgedPair(
        key=record.key,
        task=record.task,
        cause=str(record.metadata.get("cause", "unknown")),
        dialect=dialect,
        order=order,
        label=label,
        verdict=None if read is None else read.verdict,
        failure=reading.kind if isinstance(reading, ParseFailure) else None,
        correct=None if label is Preference.TIE else read is not None and read.verdict is label,
        scores={} if read is None else dict(read.scores),
        totals=None if read is None else read.totals,
        sums_consistent=None if read is None else read.sums_consistent,
        answer_matches_totals=None if read is None else read.answer_matches_totals,
        num_tokens=len(completion.token_ids) or completion.usage.completion_tokens,
        text=completion.text,
    )
