"""Damage of every kind is found and named; what is sound is kept; nothing is raised, followed or run."""

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.urt_data.conftest import answer_record, as_media, image_record, write
from urt_core.records import Preference
from urt_data import ShardFolder
from urt_data.errors import ShardError
from urt_data.shards.index import MANIFEST_NAME
from urt_data.upkeep.repair import repair
from urt_data.upkeep.verify import FindingKind, verify


@pytest.fixture
def sound(tmp_path) -> ShardFolder:
    records = [image_record(number) if number % 3 else answer_record(number) for number in range(20)]
    return write(tmp_path / "sound", records, samples_per_shard=4)


def kinds(report) -> set[FindingKind]:
    return {finding.kind for finding in report.findings}


def owner_of(folder: ShardFolder, shard: int, offset: int) -> str | None:
    """The key of the sample that the byte at `offset` belongs to; None behind the last one."""
    index = folder.index(shard)
    for key, start, size in zip(index.keys, index.offsets, index.sizes, strict=True):
        if start <= offset < start + size:
            return key
    return None


def test_sound_data_has_no_findings(sound):
    report = verify(sound.folder)
    assert report.is_sound
    assert report.findings == []
    assert (report.num_shards, report.num_samples) == (5, 20)
    assert sum(report.preferences["image_generation"].values()) == 13


def test_two_hundred_bit_flips_are_found_and_named(sound):
    rng = random.Random(0)
    originals = {path: path.read_bytes() for path in sorted(Path(sound.folder).glob("*.tar"))}
    for _ in range(40):
        expected = set()
        for shard, (path, original) in enumerate(originals.items()):
            content = bytearray(original)
            offset = rng.randrange(len(content))
            content[offset] ^= 1 << rng.randrange(8)
            path.write_bytes(content)
            expected |= {(path.name, None), (path.name, owner_of(sound, shard, offset))}
        report = verify(sound.folder, decode=False)
        assert {(finding.shard, finding.key) for finding in report.findings} == expected
        assert report.num_samples == 20 - sum(key is not None for _, key in expected)


def test_a_hundred_truncations_are_found_and_named(sound):
    rng = random.Random(1)
    originals = {path: path.read_bytes() for path in sorted(Path(sound.folder).glob("*.tar"))}
    for _ in range(20):
        lost, shortened = set(), set()
        for shard, (path, original) in enumerate(originals.items()):
            length = rng.randrange(len(original))
            path.write_bytes(original[:length])
            index = sound.index(shard)
            lost |= {key for key, end in zip(index.keys, index.offsets + index.sizes, strict=True) if end > length}
            shortened.add(
                f"{FindingKind.SHARD}: {path.name}: has {length:,} of {len(original):,} bytes: it was cut off or overwritten"
            )
        report = verify(sound.folder, decode=False)
        assert {finding.key for finding in report.findings if finding.kind is FindingKind.SAMPLE} == lost
        assert {str(finding) for finding in report.findings if finding.kind is FindingKind.SHARD} == shortened
        assert report.num_samples == 20 - len(lost)


def test_damage_to_index_and_manifest_is_found(sound):
    rng = random.Random(2)
    for name in (MANIFEST_NAME, "shard-000001.tar.idx.json"):
        path = Path(sound.folder, name)
        original = path.read_bytes()
        for _ in range(50):
            content = bytearray(original)
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(content)
            report = verify(sound.folder, decode=False)
            assert [(finding.shard.split(".tar")[0], finding.kind) for finding in report.findings] == (
                [(MANIFEST_NAME, FindingKind.MANIFEST)]
                if name == MANIFEST_NAME
                else [("shard-000001", FindingKind.INDEX)]
            )
            with pytest.raises(ShardError):
                ShardFolder(sound.folder).index(1)
        path.write_bytes(original)


def test_missing_and_foreign_files(sound):
    shutil.copy(Path(sound.folder, "shard-000000.tar"), Path(sound.folder, "shard-000099.tar"))
    Path(sound.folder, "shard-000001.tar").unlink()
    os.mkfifo(Path(sound.folder, "shard-000001.tar"))
    Path(sound.folder, "shard-000002.tar").unlink()
    report = verify(sound.folder)
    assert {(finding.shard, finding.kind) for finding in report.findings} == {
        ("shard-000099.tar", FindingKind.MANIFEST),
        ("shard-000001.tar", FindingKind.SHARD),
        ("shard-000002.tar", FindingKind.SHARD),
    }
    assert any("not a regular file" in str(finding) for finding in report.findings)


def test_undecodable_media_and_identical_candidates(tmp_path):
    broken = replace(image_record(0), first=replace(as_media(image_record(0).first), data=(b"no image",)))
    same = replace(image_record(1), first=image_record(1).second, preference=Preference.FIRST)
    folder = write(tmp_path / "pairs", [broken, same, image_record(2)])
    report = verify(folder.folder)
    assert {(finding.key, finding.kind) for finding in report.findings} == {
        ("pair-0", FindingKind.MEDIA),
        ("pair-1", FindingKind.RECORD),
    }
    assert kinds(verify(folder.folder, decode=False)) == {FindingKind.RECORD}


def test_duplicates_are_found_in_either_order(tmp_path):
    record = image_record(0)
    copies = [record, replace(record.swap(), key="copy"), image_record(1)]
    report = verify(write(tmp_path / "pairs", copies).folder)
    assert [(finding.kind, finding.key) for finding in report.findings] == [(FindingKind.DUPLICATE, "copy")]
    assert report.is_sound


@pytest.mark.parametrize("swapped", [False, True])
def test_both_labels_of_one_pair_are_damage(tmp_path, swapped):
    """Told apart from a plain repeat, in either order of the candidates; repair drops both."""
    said = replace(image_record(0), preference=Preference.FIRST)
    other = replace(said, key="against", preference=Preference.SECOND)
    other = replace(other.swap(), key="against") if swapped else other
    plain = replace(image_record(1), preference=Preference.SECOND)
    tie = replace(said, key="tie", preference=Preference.TIE)
    folder = write(tmp_path / "pairs", [said, other, plain, replace(plain, key="again")])
    report = verify(folder.folder)
    assert [(finding.kind, finding.key) for finding in report.findings] == [
        (FindingKind.CONTRADICTION, "against"),
        (FindingKind.DUPLICATE, "again"),
    ]
    assert f"says {'first' if swapped else 'second'} where pair-0 in shard-000000.tar says first" in str(
        report.findings[0]
    )
    assert not report.is_sound
    repaired = repair(folder.folder, tmp_path / "repaired")
    assert [(finding.kind, finding.key) for finding in repaired.findings] == [
        (FindingKind.CONTRADICTION, "pair-0"),
        (FindingKind.CONTRADICTION, "against"),
    ]
    assert [record.key for record in ShardFolder(tmp_path / "repaired")] == ["pair-1", "again"]
    assert verify(tmp_path / "repaired").is_sound
    assert verify(write(tmp_path / "ties", [said, tie]).folder).is_sound


def test_one_sided_labels_are_noticed(tmp_path):
    records = [replace(image_record(number), preference=Preference.FIRST) for number in range(30)]
    report = verify(write(tmp_path / "pairs", records).folder)
    assert "30 of 30 decided image_generation labels prefer the first" in str(report.findings[0])
    assert report.is_sound
