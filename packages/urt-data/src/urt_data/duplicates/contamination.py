"""Training pairs that show what an evaluation set shows: found by picture and by text, reported and removed.

    index = EvaluationIndex([ShardFolder("data/bench")])       # what must not leak
    report = index.check(ShardFolder("data/train"))            # matches by reason, with both keys
    remove_matches(ShardFolder("data/train"), report, "data/train_clean")

A caption of some length is as good as unique, so it decides by itself. A question is not ("Describe this image in detail." stands in
every set): it decides only together with both answers, and a copied picture decides always.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from PIL import Image

from urt_core.errors import MediaError
from urt_core.records import PreferenceRecord
from urt_data.duplicates.copies import MAX_DISTANCE, Likeness, PictureIndex
from urt_data.duplicates.fingerprints import HASH_BITS, normalised_text, representative_frames
from urt_data.duplicates.repeats import short_digest
from urt_data.errors import ConfigError
from urt_data.shards import ShardFolder, ShardWriter

# A caption of one or two words ("a cat") is common property; from here on an equal text is a copy.
MIN_TEXT_WORDS = 5
# "Is there a dog in the picture?" with "Yes." and "No." is asked of every photo.
CLOSED_ANSWERS = frozenset(("yes", "no", "true", "false", "none", "a", "b", "c", "d", "left", "right"))


class MatchReason(StrEnum):
    """Why a training record counts as seen in evaluation."""

    IMAGE = "image"
    TEXT = "text"
    """The caption of a generation task."""
    ANSWERS = "answers"
    """The question and both answers, in either order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Match:
    """A training record and the evaluation record it repeats.

    Match(key="hpdv3-1f…", evaluation_key="genai-bench-image-9c…", evaluation="data/bench", reason=MatchReason.IMAGE, distance=3,
          equal="its first is a copy of second there (similarity 0.99, cropped by up to 10 %)")
    """

    key: str
    evaluation_key: str
    evaluation: str
    reason: MatchReason
    distance: int
    """Differing bits of the closest hashes; 0 for texts."""
    equal: str
    """What is equal, in words."""


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

    @property
    def reasons(self) -> dict[str, int]:
        """Records by evaluation set and reason; a record with two reasons counts for both."""
        found = {(match.key, match.evaluation, match.reason) for match in self.matches}
        return dict(sorted(Counter(f"{evaluation}: {reason}" for _, evaluation, reason in found).items()))


class EvaluationIndex:
    """Texts and pictures of evaluation sets, to look training records up in; `copies.PictureIndex` says what a copy is."""

    def __init__(self, folders: Iterable[ShardFolder], *, max_distance: int = MAX_DISTANCE, texts: bool = True) -> None:
        if not 0 <= max_distance < 16:
            raise ConfigError(
                f"max_distance is {max_distance}; it must lie between 0 (equal hashes) and 15 of {HASH_BITS} bits"
            )
        self._compare_texts = texts
        self._names: list[tuple[str, str]] = []
        self._pictures = PictureIndex(max_distance=max_distance)
        self._shown: list[tuple[int, str]] = []  # of each picture: position in names, role
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
        for role, picture in _pictures_of(record):
            self._pictures.add(picture)
            self._shown.append((position, role))

    def _text_matches(self, record: PreferenceRecord) -> Iterator[Match]:
        digest = _text_digest(record)
        if self._compare_texts and digest in self._texts:
            generation = record.task.is_generation
            reason = MatchReason.TEXT if generation else MatchReason.ANSWERS
            equal = f"the caption {record.text[:80]!r}" if generation else f"{record.text[:80]!r} and both answers"
            yield self._match(record, self._texts[digest], reason, 0, equal)

    def _image_matches(self, record: PreferenceRecord) -> list[Match]:
        """The closest picture of each evaluation record that shares one."""
        closest: dict[int, tuple[Likeness, str, str]] = {}
        for role, picture in _pictures_of(record):
            for likeness in self._pictures.find(picture):
                position, other = self._shown[likeness.picture]
                if position not in closest or likeness.similarity > closest[position][0].similarity:
                    closest[position] = (likeness, role, other)
        return [
            self._match(record, position, MatchReason.IMAGE, likeness.distance, _in_words(likeness, role, other))
            for position, (likeness, role, other) in sorted(closest.items())
        ]

    def _match(self, record: PreferenceRecord, position: int, reason: MatchReason, distance: int, equal: str) -> Match:
        evaluation, key = self._names[position]
        return Match(
            key=record.key, evaluation_key=key, evaluation=evaluation, reason=reason, distance=distance, equal=equal
        )


def remove_matches(folder: ShardFolder, report: ContaminationReport, output: str | Path) -> int:
    """Write `folder` without the records of the report's matches; returns how many were left out."""
    removed = report.keys
    metadata = {
        **folder.metadata,
        "contamination": {
            "removed": len(removed),
            "of": report.num_records,
            "from": folder.manifest_sha256,
            "reasons": report.reasons,
        },
    }
    samples_per_shard = max([shard.num_samples for shard in folder.shards], default=1000)
    with ShardWriter(output, samples_per_shard=max(1, samples_per_shard), metadata=metadata) as shards:
        for record in folder:
            if record.key not in removed:
                shards.write(record)
    return len(removed)


def _text_digest(record: PreferenceRecord) -> int | None:
    """Of what decides without a picture: a caption, or a question with both answers in an order of its own."""
    text = normalised_text(record.text)
    if record.task.is_generation:
        return short_digest(f"caption\0{text}") if len(text.split()) >= MIN_TEXT_WORDS else None
    answers = sorted(normalised_text(str(answer)) for answer in (record.first, record.second))
    words = "\0".join((text, *answers))
    is_common = len(words.replace("\0", " ").split()) < MIN_TEXT_WORDS or CLOSED_ANSWERS.issuperset(answers)
    return None if is_common else short_digest(f"question\0{words}")


def _pictures_of(record: PreferenceRecord) -> Iterator[tuple[str, Image.Image]]:
    """Every picture, or the representative frames of every video, with its role."""
    for role, media in record.all_media.items():
        for picture in representative_frames(media):
            yield role, picture


def _in_words(likeness: Likeness, role: str, other: str) -> str:
    cut = f", cropped by up to {likeness.cut:.0%} of a side" if likeness.cut >= 0.01 else ""
    return f"its {role} is a copy of {other} there (similarity {likeness.similarity:.3f}{cut})"
