"""Judgements of a pool in, three shards out: right judgements to imitate, the pairs the judge got wrong to reinforce,
and pairs judged both ways, with a judgement of each kind to tell apart.

A pair is judged `total` times and was right `right` times; both counts go into its metadata, whichever shard it enters.
It may enter both: right once and wrong once gives a judgement to imitate and a pair to practise on.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from urt_core import Completion, Dialect, Judgement, ParseFailure, PreferenceRecord, Status, Task
from urt_core.errors import DataError
from urt_core.judging.pairs import read_completion
from urt_core.records import key_with
from urt_core.rewards import RewardInput, accuracy_reward, consistency_reward
from urt_data import ShardWriter

COUNTS = "judgements"
"""Name of the pass counts in a record's metadata: {"right": 3, "total": 4}."""
REJECTED = "rejected"
"""Name of a wrong judgement in a record's metadata, beside the right one in its `completion`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedRecord:
    """JudgedRecord(key="train-000017", task=Task.IMAGE_GENERATION, texts=("<think>...", "..."), right=(True, False),
    readable=(True, True))"""

    key: str
    task: Task
    texts: tuple[str, ...]
    right: tuple[bool, ...]
    """Whether each text's verdict is the label, and its table leads there where that was asked for."""
    readable: tuple[bool, ...]
    has_bad_media: bool = False
    """Its images could not be decoded, so nothing was judged: it enters no shard."""

    @property
    def pass_rate(self) -> float:
        return sum(self.right) / len(self.right)


def judged_record(
    record: PreferenceRecord, completions: Sequence[Completion], *, dialect: Dialect, only_consistent: bool = False
) -> JudgedRecord:
    def is_right(completion: Completion, reading: Judgement | ParseFailure) -> bool:
        sample = RewardInput(completion=completion, record=record, dialect=dialect, judgement=reading)
        follows = not only_consistent or consistency_reward(sample) == 1
        return follows and accuracy_reward(sample) == 1

    readings = [read_completion(completion, task=record.task, dialect=dialect) for completion in completions]
    return JudgedRecord(
        key=record.key,
        task=record.task,
        texts=tuple(completion.text for completion in completions),
        right=tuple(map(is_right, completions, readings)),
        readable=tuple(isinstance(reading, Judgement) for reading in readings),
        has_bad_media=any(completion.status is Status.BAD_MEDIA for completion in completions),
    )


def accepted_texts(judged: JudgedRecord, *, at_most: int) -> list[str]:
    """The first right judgements, each text once."""
    right = (text for text, is_right in zip(judged.texts, judged.right, strict=True) if is_right)
    return list(dict.fromkeys(right))[:at_most]


def contrast(judged: JudgedRecord) -> tuple[str, str] | None:
    """The first right judgement and the first readable wrong one (an unreadable one is told apart by its shape, not its
    reasoning)."""
    told = list(zip(judged.texts, judged.right, judged.readable, strict=True))
    right = [text for text, is_right, _ in told if is_right]
    wrong = [text for text, is_right, is_readable in told if is_readable and not is_right]
    return (right[0], wrong[0]) if right and wrong and not judged.has_bad_media else None


def is_hard(judged: JudgedRecord, *, below: float) -> bool:
    return not judged.has_bad_media and judged.pass_rate < below


def write_shards(
    judged: Iterable[JudgedRecord],
    record_of: Callable[[str], PreferenceRecord],
    *,
    accepted: Path,
    hard: Path,
    contrasts: Path,
    accept_per_pair: int,
    hard_below: float,
    about: dict[str, Any],
) -> dict[str, dict[str, int]]:
    """Write the shards, each whole or not at all, with the counts per task in their manifests; returns the counts."""
    judged = list(judged)
    counts = count_by_task(judged, accept_per_pair=accept_per_pair, hard_below=hard_below)
    total = Counter[str]()
    for of_task in counts.values():
        total.update(of_task)
    if not total["accepted"] or not total["hard"]:
        kind = "right" if not total["accepted"] else "wrong"
        raise DataError(
            f"no judgement of {len(judged):,} pairs was {kind} ({total['unreadable']:,} of {total['judgements']:,} could not be"
            f" read): there is nothing to {'fine-tune on' if kind == 'right' else 'practise on'}. Judge more pairs"
            " (rejection_sampling.pool_per_task, num_samples), or start from another model"
        )
    metadata = {**about, "counts": counts}
    with ShardWriter(accepted, metadata=metadata, overwrite=True) as shards:
        for pair in judged:
            for number, text in enumerate(accepted_texts(pair, at_most=accept_per_pair)):
                record = _with_counts(record_of(pair.key), pair)
                key = record.key if number == 0 else key_with(record.key, f"a{number}")
                shards.write(replace(record, key=key, completion=text))
    with ShardWriter(hard, metadata=metadata, overwrite=True) as shards:
        for pair in judged:
            if is_hard(pair, below=hard_below):
                shards.write(replace(_with_counts(record_of(pair.key), pair), completion=None))
    with ShardWriter(contrasts, metadata=metadata, overwrite=True) as shards:
        for pair in judged:
            if texts := contrast(pair):
                record = _with_counts(record_of(pair.key), pair)
                shards.write(replace(record, completion=texts[0], metadata={**record.metadata, REJECTED: texts[1]}))
    return counts


def count_by_task(
    judged: Sequence[JudgedRecord], *, accept_per_pair: int, hard_below: float
) -> dict[str, dict[str, int]]:
    """{"image_generation": {"pairs": 500, "judgements": 1000, "right": 731, "unreadable": 4, "accepted": 402, "hard":
    231, "contrasts": 187, "bad_media": 0}, ...}"""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for pair in judged:
        counts[str(pair.task)].update(
            pairs=1,
            judgements=len(pair.texts),
            right=sum(pair.right),
            unreadable=len(pair.readable) - sum(pair.readable),
            accepted=len(accepted_texts(pair, at_most=accept_per_pair)),
            hard=int(is_hard(pair, below=hard_below)),
            contrasts=int(contrast(pair) is not None),
            bad_media=int(pair.has_bad_media),
        )
    return {task: dict(counts[task]) for task in sorted(counts)}


def _with_counts(record: PreferenceRecord, judged: JudgedRecord) -> PreferenceRecord:
    counts = {"right": sum(judged.right), "total": len(judged.right)}
    return replace(record, metadata={**record.metadata, COUNTS: counts})
