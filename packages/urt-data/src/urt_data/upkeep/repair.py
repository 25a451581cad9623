"""Write what is sound of a damaged folder into a new one. The damaged folder is left as it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from urt_data.errors import ShardError
from urt_data.shards.addresses import is_address, local_copy
from urt_data.shards.index import MANIFEST_NAME, Excluded, Manifest, Repaired, ShardEntry, sha256
from urt_data.shards.storage import read_regular
from urt_data.shards.summary import UNLABELLED
from urt_data.shards.writer import ShardWriter
from urt_data.upkeep.salvage import salvage_records
from urt_data.upkeep.verify import Finding, FindingKind, contradictory_keys, read_index, verify_shard


@dataclass(kw_only=True, slots=True)
class RepairReport:
    """RepairReport(num_kept=11998, num_unproven=0, findings=[Finding(kind=FindingKind.SAMPLE, ...), ...])"""

    num_kept: int = 0
    num_unproven: int = 0
    """Of those kept: readable, but without an intact index or manifest to compare their bytes with."""
    findings: list[Finding] = field(default_factory=list)
    keeps_order: bool = False
    """A run that began on the damaged folder goes on with the repaired one: the places of what was left out are known."""


def repair(folder: str | Path, output: str | Path, *, keep_unproven: bool = False, decode: bool = True) -> RepairReport:
    """Copy every sample whose bytes match their hash, whose record is valid, whose images decode and whose label nothing contradicts.

    Where index and shard (or the manifest) are damaged, nothing proves a sample; with `keep_unproven` those that read well are kept all
    the same. Media that differ in a bit may decode without complaint, so that is a choice and not the default.

    Shards stay what they are, less what is left out, and the manifest lists that with its places: streams and runs go on with the new
    folder where they stopped with the old one, if nothing unproven was kept and the tasks of all that is left out are known.
    """
    if str(output) == str(folder) or (not is_address(output) and Path(output).resolve() == Path(folder).resolve()):
        raise ShardError(f"the output folder is the damaged folder {folder}; choose another one")
    with local_copy(folder) as local:
        return _repair(local, output, keep_unproven=keep_unproven, decode=decode)


def _repair(folder: Path, output: str | Path, *, keep_unproven: bool, decode: bool) -> RepairReport:
    report = RepairReport()
    manifest = _manifest(folder, report)
    metadata = dict(manifest.metadata) if manifest else {}
    # Never full: with a manifest, shards are cut where they were cut before.
    room = max((entry.num_samples for entry in manifest.shards), default=0) + 1 if manifest else 1000
    with ShardWriter(output, samples_per_shard=room, metadata=metadata) as shards:
        excluded = _write_sound(folder, manifest, shards, report, decode=decode) if manifest else None
        unproven = [finding.shard for finding in report.findings if finding.kind is FindingKind.UNPROVEN]
        if keep_unproven:
            names = unproven if manifest else sorted(path.name for path in folder.glob("*.tar"))
            for record in salvage_records([folder / name for name in names], decode=decode):
                excluded = None
                report.num_unproven += 1
                report.num_kept += 1
                shards.write(record)
        if manifest is not None and excluded is not None:
            shards.repaired = _repaired(folder, manifest, excluded)
            report.keeps_order = True
    return report


def _manifest(folder: Path, report: RepairReport) -> Manifest | None:
    try:
        return Manifest.from_bytes(read_regular(folder / MANIFEST_NAME), name=MANIFEST_NAME)
    except (ShardError, OSError) as error:
        report.findings.append(Finding(kind=FindingKind.MANIFEST, shard=MANIFEST_NAME, key=None, detail=str(error)))
        return None


def _write_sound(
    folder: Path, manifest: Manifest, shards: ShardWriter, report: RepairReport, *, decode: bool
) -> list[Excluded] | None:
    """Copies what is sound, shard for shard, and gives what is not with its place; None where a place cannot be told."""
    contradictory = contradictory_keys(folder, manifest)
    excluded: list[Excluded] | None = []
    for number, entry in enumerate(manifest.shards):
        keys: list[str] = []
        left_out: dict[int, str | None] = {}
        for item in verify_shard(folder, entry, decode=decode):
            if item.key is None:
                assert isinstance(item, Finding)
                report.findings.append(item)
                continue
            if isinstance(item, Finding):
                report.findings.append(item)
                left_out[len(keys)] = None
            elif item.key in contradictory:
                detail = "left out: the same pair is also labelled the other way round"
                finding = Finding(kind=FindingKind.CONTRADICTION, shard=entry.name, key=item.key, detail=detail)
                report.findings.append(finding)
                left_out[len(keys)] = str(item.preference or UNLABELLED)
            else:
                shards.write(item)
                report.num_kept += 1
            keys.append(item.key)
        shards.cut()
        places = _places(folder, entry, keys, left_out)
        if places is None:
            excluded = None
        elif excluded is not None:
            excluded += [
                Excluded(shard=number, row=row, key=key, task=task, label=left_out.get(row))
                for row, key, task in places
            ]
    return excluded


def _places(
    folder: Path, entry: ShardEntry, keys: Sequence[str], left_out: Mapping[int, str | None]
) -> list[tuple[int, str, str]] | None:
    """Row, key and task of each sample of a shard that was left out; None where keys or tasks are lost."""
    try:
        index = read_index(folder, entry)
    except (ShardError, OSError):
        index = None
    if index is not None:
        rows = range(len(index.keys)) if not keys else left_out  # the shard itself may be gone
        return [(row, index.keys[row], index.task_names[index.tasks[row]]) for row in rows]
    if len(keys) != entry.num_samples or (left_out and len(entry.tasks) != 1):
        return None
    return [(row, keys[row], next(iter(entry.tasks))) for row in left_out]


def _repaired(folder: Path, manifest: Manifest, excluded: Sequence[Excluded]) -> Repaired:
    """In places of the folder that was written first, where this one was repaired before."""
    if manifest.repaired is None:
        content = read_regular(folder / MANIFEST_NAME)
        return Repaired(manifest_sha256=sha256(content), excluded=tuple(excluded))
    moved = []
    for sample in excluded:
        row = sample.row
        for earlier in sorted(each.row for each in manifest.repaired.excluded if each.shard == sample.shard):
            row += earlier <= row
        moved.append(replace(sample, row=row))
    both = sorted([*manifest.repaired.excluded, *moved], key=lambda sample: (sample.shard, sample.row))
    return Repaired(manifest_sha256=manifest.repaired.manifest_sha256, excluded=tuple(both))
