"""Records of a source -> a folder of shards, in one pass and constant memory.

Equal input gives equal bytes, so a conversion that was killed is simply run again.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from urt_core.atomic import temporary_path
from urt_core.errors import DataError
from urt_core.records import PreferenceRecord
from urt_data.shards import ShardWriter
from urt_data.sources import RowError

REJECTED_NAME = "rejected.jsonl"


@dataclass(kw_only=True, slots=True)
class ConversionReport:
    """ConversionReport(num_records=72_700, num_rejected=3, num_other_splits=0, preferences=Counter({"first": 36_301, ...}))"""

    num_records: int = 0
    num_rejected: int = 0
    """Rows that are no pair; each stands with its reason in rejected.jsonl beside the shards."""
    num_other_splits: int = 0
    """Records left out because another split was asked for."""
    preferences: Counter[str] = field(default_factory=Counter)


def convert(
    results: Iterable[PreferenceRecord | RowError],
    output: str | Path,
    *,
    metadata: Mapping[str, Any],
    split: str | None = None,
    samples_per_shard: int = 1000,
    overwrite: bool = False,
    num_threads: int = 0,
    progress: Callable[[ConversionReport], None] | None = None,
) -> ConversionReport:
    """Write the records of `results` to `output`, rejected rows beside them. `split` keeps the records that say they belong to it."""
    report = ConversionReport()
    rejected = Path(output, REJECTED_NAME)
    with ShardWriter(
        output, samples_per_shard=samples_per_shard, metadata=metadata, overwrite=overwrite, num_threads=num_threads
    ) as shards:
        with temporary_path(rejected).open("w", encoding="utf-8") as lines:
            for result in results:
                if isinstance(result, RowError):
                    report.num_rejected += 1
                    lines.write(json.dumps(result.to_json(), ensure_ascii=False) + "\n")
                elif split is not None and result.metadata.get("split") != split:
                    report.num_other_splits += 1
                else:
                    shards.write(result)
                    report.num_records += 1
                    report.preferences[str(result.preference or "unlabelled")] += 1
                    if progress is not None:
                        progress(report)
        if not report.num_records:
            raise DataError(_nothing(report, split, temporary_path(rejected)))
        temporary_path(rejected).replace(rejected)
    return report


def _nothing(report: ConversionReport, split: str | None, rejected: Path) -> str:
    if report.num_other_splits:
        return f"no record belongs to the split {split!r}, {report.num_other_splits:,} belong to others; leave split= out to keep them all"
    first = rejected.read_text(encoding="utf-8").partition("\n")[0]
    return (
        f"no row became a record, {report.num_rejected:,} were rejected; the first: {first or 'the input has no rows'}"
    )
