"""Prove a folder of shards: every byte against its hash, every record against the schema, every image by decoding it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from urt_core.errors import MediaError
from urt_core.media import MediaPolicy, load_frames
from urt_core.records import Preference, PreferenceRecord
from urt_data.duplicates.fingerprints import content_digest, same_candidates, verdict
from urt_data.duplicates.repeats import SeenRecords
from urt_data.errors import ShardError
from urt_data.shards.addresses import local_copy
from urt_data.shards.index import INDEX_SUFFIX, MANIFEST_NAME, Manifest, ShardEntry, ShardIndex, sha256
from urt_data.shards.sample import from_members
from urt_data.shards.storage import open_regular, read_regular
from urt_data.shards.summary import UNLABELLED
from urt_data.shards.tar import scan_tar, split_sample

# Decoding only has to succeed; scaling large images would cost more than reading them.
DECODE_POLICY = MediaPolicy(min_pixels=1, max_pixels=2**40, num_frames=8)
BALANCE_Z = 4.0
Samples = Iterator[tuple[str | None, dict[str, bytes] | ShardError]]


class FindingKind(StrEnum):
    """What can be wrong. The last two are notices about the data, not damage."""

    MANIFEST = "manifest"
    SHARD = "shard"
    INDEX = "index"
    UNPROVEN = "unproven"
    SAMPLE = "sample"
    RECORD = "record"
    MEDIA = "media"
    KEY = "key"
    CONTRADICTION = "contradiction"
    DUPLICATE = "duplicate"
    BALANCE = "balance"

    @property
    def is_damage(self) -> bool:
        return self not in (FindingKind.DUPLICATE, FindingKind.BALANCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that is wrong, by shard and, where it concerns one, by sample.

    Finding(kind=FindingKind.SAMPLE, shard="shard-000003.tar", key="pair-3017", detail="its bytes do not match their sha256")
    """

    kind: FindingKind
    shard: str
    key: str | None
    detail: str

    def __str__(self) -> str:
        place = self.shard if self.key is None else f"{self.shard}, sample {self.key}"
        return f"{self.kind}: {place}: {self.detail}"


@dataclass(kw_only=True, slots=True)
class VerifyReport:
    """What was read and what was found.

    VerifyReport(findings=[], num_shards=12, num_samples=12000, preferences={"image_generation": {"first": 5987, "second": 6013}})
    """

    findings: list[Finding] = field(default_factory=list)
    num_shards: int = 0
    num_samples: int = 0
    preferences: dict[str, dict[str, int]] = field(default_factory=dict)
    """Labels by task."""

    @property
    def is_sound(self) -> bool:
        """No damage; notices about balance and duplicates do not count."""
        return not any(finding.kind.is_damage for finding in self.findings)


def verify(folder: str | Path, *, decode: bool = True) -> VerifyReport:
    """Read everything below `folder` (or a copy of an address) once. Damage is reported, never raised."""
    with local_copy(folder) as local:
        return _verify(local, decode=decode)


def _verify(folder: Path, *, decode: bool) -> VerifyReport:
    report = VerifyReport()
    try:
        manifest = Manifest.from_bytes(read_regular(folder / MANIFEST_NAME), name=MANIFEST_NAME)
    except (ShardError, OSError) as error:
        report.findings.append(Finding(kind=FindingKind.MANIFEST, shard=MANIFEST_NAME, key=None, detail=str(error)))
        return report
    report.findings += _unlisted(folder, manifest)
    seen = SeenRecords()
    for entry in manifest.shards:
        report.num_shards += 1
        for item in verify_shard(folder, entry, decode=decode):
            if isinstance(item, Finding):
                report.findings.append(item)
                continue
            report.num_samples += 1
            labels = report.preferences.setdefault(str(item.task), {})
            label = str(item.preference) if item.preference else UNLABELLED
            labels[label] = labels.get(label, 0) + 1
            seen.add(entry.name, item.key, content_digest(item), verdict(item))
    report.findings += [*_repeats(seen), *_imbalances(report)]
    return report


def verify_shard(folder: Path, entry: ShardEntry, *, decode: bool) -> Iterator[PreferenceRecord | Finding]:
    """The proven records of one shard, and a finding for everything else."""
    findings = ShardFindings(entry.name)
    index = None
    try:
        index = read_index(folder, entry)
    except (ShardError, OSError) as error:
        yield findings.make(FindingKind.INDEX, str(error))
    try:
        file = open(open_regular(folder / entry.name), "rb")  # noqa: SIM115  # the `with` below closes it
    except (ShardError, OSError) as error:
        yield findings.make(FindingKind.SHARD, f"cannot be opened: {error}")
        return
    with file:
        digest, size = _file_digest(file)
        if size != entry.num_bytes:
            yield findings.make(
                FindingKind.SHARD, f"has {size:,} of {entry.num_bytes:,} bytes: it was cut off or overwritten"
            )
        elif digest != entry.sha256:
            yield findings.make(FindingKind.SHARD, "its bytes do not match their sha256")
        elif index is None:
            # The tar as a whole matches the manifest, and so do its samples.
            yield from _checked(_scanned(file, size), findings, decode=decode)
        if index is not None:
            yield from _checked(_indexed(file, index), findings, decode=decode)
        elif digest != entry.sha256:
            yield findings.make(
                FindingKind.UNPROVEN, "neither the index nor the shard is intact, so nothing proves its samples"
            )


@dataclass(frozen=True, slots=True)
class ShardFindings:
    """Makes the findings of one shard."""

    shard: str

    def make(self, kind: FindingKind, detail: str, key: str | None = None) -> Finding:
        return Finding(kind=kind, shard=self.shard, key=key, detail=detail)


def read_index(folder: Path, entry: ShardEntry) -> ShardIndex:
    """The index of a shard, if it is the one that the manifest means."""
    name = entry.name + INDEX_SUFFIX
    content = read_regular(folder / name)
    if sha256(content) != entry.index_sha256:
        raise ShardError(f"{name} does not match the sha256 in the manifest")
    index = ShardIndex.from_bytes(content, name=name)
    if (index.shard, len(index.keys), index.num_bytes) != (entry.name, entry.num_samples, entry.num_bytes):
        raise ShardError(f"{name} describes another shard")
    return index


def _indexed(file: BinaryIO, index: ShardIndex) -> Samples:
    for row, key in enumerate(index.keys):
        file.seek(int(index.offsets[row]))
        packed = file.read(int(index.sizes[row]))
        try:
            if len(packed) != index.sizes[row]:
                raise ShardError(f"only {len(packed):,} of its {index.sizes[row]:,} bytes are there")
            if hashlib.sha256(packed).digest() != index.digests[row].tobytes():
                raise ShardError("its bytes do not match their sha256")
            yield key, split_sample(packed, key=key)
        except ShardError as error:
            yield key, error


def _scanned(file: BinaryIO, size: int) -> Samples:
    try:
        for sample in scan_tar(file, file_size=size):
            yield sample.key, sample.members
    except ShardError as error:
        yield None, error


def _checked(samples: Samples, findings: ShardFindings, *, decode: bool) -> Iterator[PreferenceRecord | Finding]:
    for key, members in samples:
        if isinstance(members, ShardError):
            yield findings.make(FindingKind.SAMPLE, str(members), key)
            continue
        assert key is not None
        try:
            record = from_members(members, key=key)
            if decode:
                check_media(record)
        except ShardError as error:
            yield findings.make(FindingKind.RECORD, str(error), key)
        except MediaError as error:
            yield findings.make(FindingKind.MEDIA, str(error), key)
        else:
            if same_candidates(record) and record.preference in (Preference.FIRST, Preference.SECOND):
                yield findings.make(
                    FindingKind.RECORD, f"the candidates are identical, yet the label is {record.preference}", key
                )
            else:
                yield record


def check_media(record: PreferenceRecord) -> None:
    """Decode every medium once; a `MediaError` names what cannot be shown to a judge."""
    for media in record.all_media.values():
        load_frames(media, DECODE_POLICY)


def contradictory_keys(folder: Path, manifest: Manifest) -> set[str]:
    """The keys of all proven records whose pair is also labelled the other way round: nobody knows which label is right."""
    seen = SeenRecords()
    for entry in manifest.shards:
        for item in verify_shard(folder, entry, decode=False):
            if isinstance(item, PreferenceRecord):
                seen.add(entry.name, item.key, content_digest(item), verdict(item))
    return {key for (_, key), _, (_, other), _ in seen.contradictions() for key in (key, other)}


def _repeats(seen: SeenRecords) -> Iterator[Finding]:
    for (shard, key), (other_shard, _) in seen.repeated_keys():
        detail = f"the key is also in {other_shard}; keys are unique in a data set"
        yield Finding(kind=FindingKind.KEY, shard=shard, key=key, detail=detail)
    for (shard, key), label, (other_shard, other_key), other_label in seen.contradictions():
        order = "" if label != other_label else ", with the candidates in the other order"
        detail = (
            f"says {label} where {other_key} in {other_shard} says {other_label} of the same pair{order}: both labels cannot be right. "
            "Drop the wrong one, or both with `urt-data repair`"
        )
        yield Finding(kind=FindingKind.CONTRADICTION, shard=shard, key=key, detail=detail)
    for (shard, key), (other_shard, other_key) in seen.repeated_contents():
        detail = f"the same pair as {other_key} in {other_shard}, perhaps in the other order"
        yield Finding(kind=FindingKind.DUPLICATE, shard=shard, key=key, detail=detail)


def _unlisted(folder: Path, manifest: Manifest) -> Iterator[Finding]:
    listed = {entry.name for entry in manifest.shards}
    for path in sorted(folder.glob("*.tar")):
        if path.name not in listed:
            yield Finding(
                kind=FindingKind.MANIFEST, shard=path.name, key=None, detail="the manifest does not list this shard"
            )


def _imbalances(report: VerifyReport) -> Iterator[Finding]:
    """A judge that always says `first` must not look good: decisive labels should be even between the two places."""
    for task, counts in sorted(report.preferences.items()):
        first, second = counts.get(Preference.FIRST, 0), counts.get(Preference.SECOND, 0)
        decided = first + second
        # Under a fair coin the difference has standard deviation sqrt(n).
        if decided and abs(first - second) > BALANCE_Z * decided**0.5:
            detail = f"{first:,} of {decided:,} decided {task} labels prefer the first candidate; shuffle the order of the candidates"
            yield Finding(kind=FindingKind.BALANCE, shard=MANIFEST_NAME, key=None, detail=detail)


def _file_digest(file: BinaryIO) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    while chunk := file.read(2**20):
        digest.update(chunk)
        size += len(chunk)
    file.seek(0)
    return digest.hexdigest(), size
