"""Write what is sound of a damaged folder into a new one. The damaged folder is left as it is."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from urt_core.records import PreferenceRecord
from urt_data.errors import ShardError
from urt_data.salvage import salvage_records
from urt_data.shards.addresses import is_address, local_copy
from urt_data.shards.index import MANIFEST_NAME, Manifest
from urt_data.shards.storage import read_regular
from urt_data.shards.writer import ShardWriter
from urt_data.verify import Finding, FindingKind, contradictory_keys, verify_shard


@dataclass(kw_only=True, slots=True)
class RepairReport:
    """RepairReport(num_kept=11998, num_unproven=0, findings=[Finding(kind=FindingKind.SAMPLE, ...), ...])"""

    num_kept: int = 0
    num_unproven: int = 0
    """Of those kept: readable, but without an intact index or manifest to compare their bytes with."""
    findings: list[Finding] = field(default_factory=list)


def repair(folder: str | Path, output: str | Path, *, keep_unproven: bool = False, decode: bool = True) -> RepairReport:
    """Copy every sample whose bytes match their hash, whose record is valid, whose images decode and whose label nothing contradicts.

    Where index and shard (or the manifest) are damaged, nothing proves a sample; with `keep_unproven` those that read well are kept all
    the same. Media that differ in a bit may decode without complaint, so that is a choice and not the default.
    """
    if str(output) == str(folder) or (not is_address(output) and Path(output).resolve() == Path(folder).resolve()):
        raise ShardError(f"the output folder is the damaged folder {folder}; choose another one")
    with local_copy(folder) as local:
        return _repair(local, output, keep_unproven=keep_unproven, decode=decode)


def _repair(folder: Path, output: str | Path, *, keep_unproven: bool, decode: bool) -> RepairReport:
    report = RepairReport()
    manifest = _manifest(folder, report)
    metadata = dict(manifest.metadata) if manifest else {}
    samples_per_shard = max((entry.num_samples for entry in manifest.shards), default=1000) if manifest else 1000
    with ShardWriter(output, samples_per_shard=max(1, samples_per_shard), metadata=metadata) as shards:
        for record in _sound_records(folder, manifest, report, keep_unproven=keep_unproven, decode=decode):
            shards.write(record)
            report.num_kept += 1
    return report


def _manifest(folder: Path, report: RepairReport) -> Manifest | None:
    try:
        return Manifest.from_bytes(read_regular(folder / MANIFEST_NAME), name=MANIFEST_NAME)
    except (ShardError, OSError) as error:
        report.findings.append(Finding(kind=FindingKind.MANIFEST, shard=MANIFEST_NAME, key=None, detail=str(error)))
        return None


def _sound_records(
    folder: Path, manifest: Manifest | None, report: RepairReport, *, keep_unproven: bool, decode: bool
) -> Iterator[PreferenceRecord]:
    contradictory = contradictory_keys(folder, manifest) if manifest else set()
    unproven = [] if manifest else sorted(path.name for path in folder.glob("*.tar"))
    for entry in manifest.shards if manifest else ():
        for item in verify_shard(folder, entry, decode=decode):
            if isinstance(item, Finding):
                report.findings.append(item)
                if item.kind is FindingKind.UNPROVEN:
                    unproven.append(entry.name)
            elif item.key in contradictory:
                detail = "left out: the same pair is also labelled the other way round"
                report.findings.append(
                    Finding(kind=FindingKind.CONTRADICTION, shard=entry.name, key=item.key, detail=detail)
                )
            else:
                yield item
    if keep_unproven:
        for record in salvage_records([folder / name for name in unproven], decode=decode):
            report.num_unproven += 1
            yield record
