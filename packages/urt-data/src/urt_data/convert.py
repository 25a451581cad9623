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
from urt_data.sources import Conversion, RowError

REJECTED_NAME = "rejected.jsonl"
MAX_REJECTED = 0.02
SHOWN_REASONS = 3


@dataclass(kw_only=True, slots=True)
class ConversionReport:
    """ConversionReport(num_records=72_700, num_rejected=3, num_other_splits=0, preferences=Counter({"first": 36_301, ...}))"""

    num_records: int = 0
    num_rejected: int = 0
    """Rows that are no pair; each stands with its reason in rejected.jsonl beside the shards."""
    num_other_splits: int = 0
    """Records left out because another split was asked for."""
    preferences: Counter[str] = field(default_factory=Counter)
    reasons: list[str] = field(default_factory=list)
    """Of the first few rejected rows, as sentences."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Rows that the source leaves out on purpose, by reason."""
    max_rejected: float = MAX_REJECTED

    @property
    def is_within_limit(self) -> bool:
        """Whether so few rows were rejected that the rest may be trusted: a single one always costs only itself."""
        rows = self.num_records + self.num_rejected + self.num_other_splits
        allowed = self.max_rejected * rows
        return self.num_rejected <= (max(1.0, allowed) if self.max_rejected else 0)

    def lines(self) -> list[str]:
        """What a user has to know, in a few lines."""
        labels = ", ".join(f"{count:,} {label}" for label, count in sorted(self.preferences.items()))
        lines = [
            f"{self.num_records:,} pairs ({labels}); {self.num_rejected:,} rows rejected, see {REJECTED_NAME} beside the shards"
        ]
        lines += [f"  {reason}" for reason in self.reasons]
        lines += [f"{count:,} rows left out: {reason}" for reason, count in self.left_out.most_common()]
        if not self.is_within_limit:
            rows = self.num_records + self.num_rejected + self.num_other_splits
            lines.append(
                f"{self.num_rejected:,} of {rows:,} rows were rejected ({self.num_rejected / rows:.0%}), more than the limit "
                f"max_rejected={self.max_rejected:g}: mend the input, or give max_rejected=<share> if the pairs that are left are what you want"
            )
        return lines


def convert(
    results: Iterable[PreferenceRecord | RowError],
    output: str | Path,
    *,
    metadata: Mapping[str, Any],
    split: str | None = None,
    samples_per_shard: int = 1000,
    overwrite: bool = False,
    num_threads: int = 0,
    max_rejected: float = MAX_REJECTED,
    progress: Callable[[ConversionReport], None] | None = None,
) -> ConversionReport:
    """Write the records of `results` to `output`, rejected rows beside them. `split` keeps the records that say they belong to it.

    `max_rejected` is a share of the rows; whether it holds is said by the report's `is_within_limit`. Above it the pairs are still
    written, so that hours of work are not lost, and the commands end with exit code 1.
    """
    report = ConversionReport(max_rejected=max_rejected)
    # A source that surveys its rows may refuse them here, before anything in `output` is touched.
    rows = iter(results)
    with ShardWriter(
        output, samples_per_shard=samples_per_shard, metadata=metadata, overwrite=overwrite, num_threads=num_threads
    ) as shards:
        rejected = shards.folder / REJECTED_NAME
        with temporary_path(rejected).open("w", encoding="utf-8", errors="backslashreplace") as lines:
            for result in rows:
                if isinstance(result, RowError):
                    report.num_rejected += 1
                    if len(report.reasons) < SHOWN_REASONS:
                        report.reasons.append(str(result))
                    lines.write(json.dumps(result.to_json(), ensure_ascii=False) + "\n")
                elif split is not None and result.metadata.get("split") != split:
                    report.num_other_splits += 1
                else:
                    shards.write(result)
                    report.num_records += 1
                    report.preferences[str(result.preference or "unlabelled")] += 1
                    if progress is not None:
                        progress(report)
        temporary_path(rejected).replace(rejected)
        if isinstance(results, Conversion):
            report.left_out = results.left_out
        if not report.num_records:
            raise DataError(_nothing(report, split, Path(output, REJECTED_NAME)))
    return report


def _nothing(report: ConversionReport, split: str | None, rejected: Path) -> str:
    if report.num_other_splits:
        return f"no record belongs to the split {split!r}, {report.num_other_splits:,} belong to others; leave split= out to keep them all"
    if not report.num_rejected and not report.left_out:
        return "no row became a record: the input has no rows"
    left_out = "".join(f"; {count:,} rows left out: {reason}" for reason, count in report.left_out.most_common())
    if not report.num_rejected:
        return f"no row became a record{left_out}"
    return (
        f"no row became a record, {report.num_rejected:,} were rejected; the first: {report.reasons[0]}{left_out}. "
        f"All reasons are in {rejected}"
    )
