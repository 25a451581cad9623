"""Training pairs that show what an evaluation set shows: found by text and by perceptual hash, reported and removed.

index = EvaluationIndex([ShardFolder("data/bench")])       # what must not leak
report = index.check(ShardFolder("data/train"))            # matches by reason, with both keys
remove_matches(ShardFolder("data/train"), report, "data/train_clean")
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from urt_core.errors import MediaError
from urt_core.records import Media, PreferenceRecord
from urt_data.errors import ConfigError
from urt_data.fingerprints import HASH_BITS, normalised_text, perceptual_hashes
from urt_data.repeats import short_digest
from urt_data.shards import ShardFolder, ShardWriter

# A caption of one or two words ("a cat") is common property; from here on an equal text is a copy.
MIN_TEXT_WORDS = 5


class MatchReason(StrEnum):
    """Why a training record counts as seen in evaluation."""

    IMAGE = "image"
    TEXT = "text"


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A training record and the evaluation record it repeats.

    Match(key="hpdv3-1f…", evaluation_key="genai-bench-image-9c…", evaluation="data/bench", reason=MatchReason.IMAGE, distance=3)
    """

    key: str
    evaluation_key: str
    evaluation: str
    reason: MatchReason
    distance: int
    """Differing bits of the closest hashes; 0 for texts."""


@dataclass(kw_only=True, slots=True)
class ContaminationReport:
    """ContaminationReport(num_records=20000, num_unreadable=0, matches=[Match(...)])"""

    num_records: int = 0
    num_unreadable: int = 0
    """Records with media that do not decode; only their text was compared."""
    matches: list[Match] = field(default_factory=list)

    @property
    def keys(self) -> set[str]:
        """The training records to remove."""
        return {match.key for match in self.matches}


class EvaluationIndex:
    """Texts and image hashes of evaluation sets, to look training records up in.

    Two images match when their hashes differ in at most `max_distance` of 63 bits. The hash is cut into `max_distance + 1` bands: hashes
    that close agree in at least one band, so only those that share a band are compared and none is missed.
    """

    def __init__(self, folders: Iterable[ShardFolder], *, max_distance: int = 6, texts: bool = True) -> None:
        if not 0 <= max_distance < 16:
            raise ConfigError(
                f"max_distance is {max_distance}; it must lie between 0 (equal hashes) and 15 of {HASH_BITS} bits"
            )
        self._max_distance = max_distance
        self._compare_texts = texts
        self._names: list[tuple[str, str]] = []
        self._hashes: list[tuple[int, int]] = []  # hash, position in names
        self._bands: dict[tuple[int, int], list[int]] = defaultdict(list)
        self._texts: dict[int, int] = {}
        for folder in folders:
            for record in folder:
                self._add(folder.folder, record)

    def check(self, folder: ShardFolder) -> ContaminationReport:
        """Look every record of `folder` up."""
        report = ContaminationReport()
        for record in folder:
            report.num_records += 1
            matches = list(self._text_matches(record))
            try:
                matches += self._image_matches(record)
            except MediaError:
                report.num_unreadable += 1
            report.matches += matches
        return report

    def _add(self, evaluation: str, record: PreferenceRecord) -> None:
        position = len(self._names)
        self._names.append((evaluation, record.key))
        if (digest := _text_digest(record)) is not None:
            self._texts.setdefault(digest, position)
        for value in _hashes_of(record):
            for band in self._bands_of(value):
                self._bands[band].append(len(self._hashes))
            self._hashes.append((value, position))

    def _bands_of(self, value: int) -> Iterator[tuple[int, int]]:
        bands = self._max_distance + 1
        for band in range(bands):
            start, stop = band * HASH_BITS // bands, (band + 1) * HASH_BITS // bands
            yield band, value >> start & ((1 << (stop - start)) - 1)

    def _text_matches(self, record: PreferenceRecord) -> Iterator[Match]:
        digest = _text_digest(record)
        if self._compare_texts and digest in self._texts:
            yield self._match(record, self._texts[digest], MatchReason.TEXT, 0)

    def _image_matches(self, record: PreferenceRecord) -> list[Match]:
        closest: dict[int, int] = {}
        for value in _hashes_of(record):
            candidates = {number for band in self._bands_of(value) for number in self._bands.get(band, ())}
            for other, position in (self._hashes[number] for number in candidates):
                distance = (value ^ other).bit_count()
                if distance <= min(self._max_distance, closest.get(position, HASH_BITS)):
                    closest[position] = distance
        return [
            self._match(record, position, MatchReason.IMAGE, distance) for position, distance in sorted(closest.items())
        ]

    def _match(self, record: PreferenceRecord, position: int, reason: MatchReason, distance: int) -> Match:
        evaluation, key = self._names[position]
        return Match(key=record.key, evaluation_key=key, evaluation=evaluation, reason=reason, distance=distance)


def remove_matches(folder: ShardFolder, report: ContaminationReport, output: str | Path) -> int:
    """Write `folder` without the records of the report's matches; returns how many were left out."""
    removed = report.keys
    metadata = {
        **folder.metadata,
        "contamination": {"removed": len(removed), "of": report.num_records, "from": folder.manifest_sha256},
    }
    samples_per_shard = max([shard.num_samples for shard in folder.shards], default=1000)
    with ShardWriter(output, samples_per_shard=max(1, samples_per_shard), metadata=metadata) as shards:
        for record in folder:
            if record.key not in removed:
                shards.write(record)
    return len(removed)


def _text_digest(record: PreferenceRecord) -> int | None:
    text = normalised_text(record.text)
    return short_digest(text) if len(text.split()) >= MIN_TEXT_WORDS else None


def _hashes_of(record: PreferenceRecord) -> Iterator[int]:
    for media in (record.first, record.second, record.media):
        if isinstance(media, Media):
            for value in perceptual_hashes(media):
                if value:  # a plain image shows nothing that could be copied
                    yield value
