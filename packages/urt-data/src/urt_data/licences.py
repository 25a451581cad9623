"""What a run may be trained on: stated by each record, summed up in the manifest, enforced before the first batch.

    restrictions(ShardFolder("data/mmrb2"))  -->  [Restriction(kind=RestrictionKind.EVALUATION_ONLY, source="mmrb2", num_samples=1000, ...)]
    check_licences([folder, ...], allow_noncommercial=False, allow_evaluation=False)  -->  LicenceError with source and count

Every stage that trains asks the same question of the same manifest; nothing here reads a record.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from urt_data.errors import LicenceError
from urt_data.shards import ShardFolder
from urt_data.shards.index import add_provenance

BENCHMARKS = (
    *("mmrb2", "multimodalrewardbench", "vlrewardbench", "videogenrewardbench", "mmrlhfrewardbench", "genaibench"),
    *(
        "mjbench",
        "rewardbench",
        "videorewardbench",
        "unigenbench",
        "geneval",
        "editrewardbench",
        "hpdv2test",
        "hpdv3test",
    ),
)
"""Names of public benchmarks, without case and punctuation: shards that say nothing else of themselves are known by
them."""


class RestrictionKind(StrEnum):
    """Why records are not simply training data."""

    EVALUATION_ONLY = "evaluation only"
    """The records say so themselves."""
    BENCHMARK = "a benchmark by name"
    """They do not say so, but their source or data set is called like one."""
    NONCOMMERCIAL = "non-commercial"

    @property
    def is_evaluation(self) -> bool:
        return self is not RestrictionKind.NONCOMMERCIAL


@dataclass(frozen=True, kw_only=True, slots=True)
class Restriction:
    """What keeps some records of a folder from being trained on.

    Restriction(kind=RestrictionKind.EVALUATION_ONLY, folder="data/mmrb2", source="mmrb2", licence="CC-BY-NC-4.0",
    num_samples=1000)
    """

    kind: RestrictionKind
    folder: str
    source: str
    licence: str
    num_samples: int

    def __str__(self) -> str:
        records = f"{self.folder} holds {self.num_samples:,} records of {self.source}"
        if self.kind is RestrictionKind.NONCOMMERCIAL:
            return f"{records} with licence {self.licence!r}, which does not allow commercial use"
        why = (
            "that are for evaluation only"
            if self.kind is RestrictionKind.EVALUATION_ONLY
            else "which is the name of a benchmark"
        )
        return f"{records} {why}; training on them makes the benchmark worthless"


def restrictions(folder: ShardFolder) -> list[Restriction]:
    """All that the manifest of `folder` says against training on its records; nothing said means the user's own."""
    found = []
    named = is_benchmark(folder.metadata.get("source")) or is_benchmark(folder.metadata.get("name"))
    for row in folder.manifest["provenance"]:
        kinds = [RestrictionKind.EVALUATION_ONLY] if row["evaluation_only"] else []
        # Also where the records say that they are none: a table that is converted without a word says so by default.
        if not kinds and (named or is_benchmark(row["source"])):
            kinds = [RestrictionKind.BENCHMARK]
        if row["commercial_ok"] is False:
            kinds.append(RestrictionKind.NONCOMMERCIAL)
        source = str(
            row["source"] or folder.metadata.get("source") or folder.metadata.get("name") or "an unnamed source"
        )
        found += [
            Restriction(
                kind=kind,
                folder=folder.folder,
                source=source,
                licence=str(row["licence"] or "not stated"),
                num_samples=row["num_samples"],
            )
            for kind in kinds
        ]
    return found


def is_benchmark(name: object) -> bool:
    """Whether a data set is called like a public benchmark: "VL-RewardBench", "facebook/MMRB2", "genai_bench_video"."""
    plain = re.sub(r"[^a-z0-9]", "", str(name or "").lower())
    return any(benchmark in plain for benchmark in BENCHMARKS)


def provenance(folders: Iterable[ShardFolder]) -> list[dict[str, Any]]:
    """Source, revision, licence, commercial_ok, evaluation_only and num_samples of everything in `folders`."""
    return add_provenance(row for folder in folders for row in folder.manifest["provenance"])


def check_licences(folders: Sequence[ShardFolder], *, allow_noncommercial: bool, allow_evaluation: bool) -> None:
    """Refuse sources that forbid commercial use, and benchmarks. Records that state nothing are the user's own."""
    for folder in folders:
        for restriction in restrictions(folder):
            if restriction.kind.is_evaluation and not allow_evaluation:
                raise LicenceError(
                    f"{restriction}. Leave it out, or pass allow_evaluation=True to read it for evaluation"
                )
            if not restriction.kind.is_evaluation and not allow_noncommercial:
                raise LicenceError(
                    f"{restriction}; leave it out, or pass allow_noncommercial=True for a model that stays non-commercial"
                )
