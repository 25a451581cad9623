"""What a source is, and how its rows become records.

    annotation file --read_rows--> Row --pairs / member--> Pair --key, order, metadata--> PreferenceRecord | RowError

A source file says what is particular to one published set: its fields, its label rule, its licence. What all share is
here: unique keys, the shuffled order of winner-first sets, provenance in the metadata, and rows that fail without
ending the conversion.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from urt_core.doors import what_was_raised
from urt_core.errors import ConfigError, DataError, RecordError, UrtError
from urt_core.records import PreferenceRecord, Task
from urt_data.sources.folder import Content, InputFolder
from urt_data.sources.pair import LabelOrigin, Pair, tidy
from urt_data.sources.ranking import Located, Member, MemberError, pairs_of, ranked_groups
from urt_data.sources.rows import BadRow, FieldError, LeftOut, Row, RowError, read_rows

EVALUATION_SPLITS = ("test", "validation")
UNKNOWN_REVISION = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """One published set: where it is from, what its licence allows, which fields are read, and how a row becomes pairs.

    Source(
        name="hpdv3", repository="MizzenAI/HPDv3", revision="opendilab/LightRFT@49e62cb6e1", licence="MIT",
        commercial_ok=True, label_origin=LabelOrigin.HUMAN, tasks=(Task.IMAGE_GENERATION,), files=("*.json",),
        fields=("prompt", "path1", "path2"), winner_first=True, pairs=hpdv3_pairs,
    )
    """

    name: str
    repository: str
    """Where it is published; `owner/name` means a data set of the Hugging Face hub."""
    revision: str
    """Where the schema was read, `owner/name@commit` or "card"; records carry the commit that was downloaded."""
    licence: str
    """SPDX where there is one; "not stated" where none was found."""
    commercial_ok: bool
    """Whether a licence that allows commercial use was stated for the data; mixtures refuse the others by default."""
    label_origin: LabelOrigin
    tasks: tuple[Task, ...]
    files: tuple[str, ...]
    """Patterns of the annotation files inside the input folder."""
    fields: tuple[str, ...] | None
    """The columns that are read, and so all that can be kept; None: what the rows hold decides."""
    winner_first: bool = False
    """The better candidate stands first (or nearly always does): the order is then drawn by a hash of the key."""
    evaluation_only: bool = False
    """A benchmark; it must never enter training."""
    within: str | None = None
    """The key that holds the rows where the JSON file is an object."""
    options: tuple[str, ...] = ()
    """The settings `configured` accepts, of those below."""
    pairing: str = "all"
    """Rank lists: `all` pairs of a prompt, or its best against its worst (`extremes`)."""
    read: Callable[[InputFolder, str, Path], Iterator[Row | BadRow]] | None = None
    """How an annotation file becomes rows, where its suffix does not say it."""
    read_folder: Callable[[InputFolder], Iterator[Row | BadRow]] | None = None
    """How the input as a whole becomes rows, where it has no annotation file."""
    survey: Callable[[Iterable[Row]], Mapping[str, Any]] | None = None
    """Looks at all rows before the first one is converted; what it finds are further arguments of `pairs`."""
    survey_fields: tuple[str, ...] | None = None
    """The columns that the survey looks at; pictures inside the rows need not be read twice."""
    pairs: Callable[..., Iterable[Pair | PreferenceRecord]] | None = None
    """A row and the folder to its pairs; `LeftOut` for a row that is left out on purpose. A record is one that was exported whole."""
    member: Callable[[Row], Member | Sequence[Member] | None] | None = None
    """Instead of `pairs`, where a row holds one candidate of many, or a few of them; None leaves the row out on purpose."""

    def configured(self, **options: Any) -> "Source":
        """The same source with other settings, such as `pairing="all"`."""
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            raise ConfigError(f"source {self.name!r} has no option {unknown}; allowed: {list(self.options)}")
        if options.get("pairing", "all") not in ("all", "extremes"):
            raise ConfigError(f"pairing is {options['pairing']!r}; allowed: 'all', 'extremes'")
        return replace(self, **options)

    @property
    def provenance(self) -> dict[str, Any]:
        """What every record says of where it comes from, but for the revision, which only a download has."""
        return {
            "source": self.name,
            "repository": self.repository,
            "licence": self.licence,
            "commercial_ok": self.commercial_ok,
            "evaluation_only": self.evaluation_only,
            "label_origin": str(self.label_origin),
        }

    def records(
        self,
        input_path: str | Path,
        *,
        media: str | Path | None = None,
        revision: str | None = None,
        decode: bool = False,
    ) -> "Conversion":
        """The records of a downloaded set, in file and row order; a row that fails gives a `RowError` in its place.

        `media` is the folder that file names start from, where it is not the input folder. `revision` is the commit
        that was downloaded, where the download did not note it in the folder. `decode=True` decodes every image once,
        to find damaged ones early.
        """
        return Conversion(source=self, folder=InputFolder(input_path, media=media, decode=decode), revision=revision)


class Conversion:
    """The records of one input, with `counts` of rows, records, errors and rows left out on purpose once iterated.

    `left_out` has the last of these by reason.
    """

    def __init__(self, *, source: Source, folder: InputFolder, revision: str | None) -> None:
        self.source = source
        self.counts: Counter[str] = Counter({"rows": 0, "records": 0, "errors": 0, "left_out": 0})
        self.left_out: Counter[str] = Counter()
        self.folder = folder
        self._revision = revision

    def __iter__(self) -> Iterator[PreferenceRecord | RowError]:
        self.counts = Counter({"rows": 0, "records": 0, "errors": 0, "left_out": 0})
        self.left_out = Counter()
        # Before the first record is asked for: what a survey refuses must stop a conversion before it writes.
        results = self._ranked() if self.source.member is not None else self._paired(self._surveyed())
        return self._counted(results)

    def _counted(self, results: Iterator[PreferenceRecord | RowError]) -> Iterator[PreferenceRecord | RowError]:
        for result in results:
            self.counts["errors" if isinstance(result, RowError) else "records"] += 1
            yield result

    def _surveyed(self) -> Callable[..., Iterable[Pair | PreferenceRecord]]:
        """`source.pairs` with what a look at all rows found."""
        assert self.source.pairs is not None
        if self.source.survey is None:
            return self.source.pairs
        rows = self._rows(columns=self.source.survey_fields)
        found = self.source.survey(row for row in rows if isinstance(row, Row))
        self.counts["rows"] = 0
        return partial(self.source.pairs, **found)

    def _paired(self, pairs: Callable[..., Iterable[Pair | PreferenceRecord]]) -> Iterator[PreferenceRecord | RowError]:
        for row in self._rows():
            if isinstance(row, RowError):
                yield row
                continue
            number = -1
            try:
                for number, pair in enumerate(pairs(row, self.folder)):
                    yield self.record(pair, row, number)
            except (FieldError, RecordError) as error:
                yield self._error(row.file, row.number, error)
            except LeftOut as reason:
                self._leave_out(str(reason))
            except (UrtError, OSError):
                raise
            except (Exception, SystemExit) as error:
                raise DataError(
                    f"source {self.source.name!r} raised {what_was_raised(error)} on {row.file}, row {row.number}; expected:"
                    " pairs(row, folder) that gives Pairs, and a FieldError where a row can't be read"
                ) from error
            else:
                if number < 0:
                    self._leave_out("no pair in it")

    def _ranked(self) -> Iterator[PreferenceRecord | RowError]:
        for group in ranked_groups(self._members()):
            if isinstance(group, RowError):
                yield group
                continue
            if len(group) == 1:
                self._leave_out("the only candidate of its prompt")
            broken: set[tuple[str, int]] = set()
            for number, (pair, row) in enumerate(pairs_of(group, self.folder, pairing=self.source.pairing)):
                try:
                    yield self.record(pair(), row, number)
                except (FieldError, RecordError) as error:
                    # One damaged image fails in every pair of its group; it is reported once.
                    row = error.row if isinstance(error, MemberError) else row
                    if (row.file, row.number) not in broken:
                        broken.add((row.file, row.number))
                        yield self._error(row.file, row.number, error)

    def _members(self) -> Iterator[Located | RowError]:
        assert self.source.member is not None
        for row in self._rows():
            if isinstance(row, RowError):
                yield row
                continue
            try:
                member = self.source.member(row)
            except FieldError as error:
                yield self._error(row.file, row.number, error)
                continue
            if member is None:
                self._leave_out("no candidate for this task")
                continue
            yield from ((row, one) for one in ([member] if isinstance(member, Member) else member))

    def _rows(self, columns: tuple[str, ...] | None = None) -> Iterator[Row | RowError]:
        for row in self._read(columns or self.source.fields):
            self.counts["rows"] += 1
            yield row if isinstance(row, Row) else self._error(row.file, row.number, row.error)

    def _read(self, columns: tuple[str, ...] | None) -> Iterator[Row | BadRow]:
        if self.source.read_folder is not None:
            yield from self.source.read_folder(self.folder)
            return
        for name, path in self.folder.files(self.source.files):
            if self.source.read is not None:
                yield from self.source.read(self.folder, name, path)
            else:
                yield from read_rows(path, name=name, columns=columns, within=self.source.within)

    def record(self, pair: Pair | PreferenceRecord, row: Row, number: int) -> PreferenceRecord:
        """The record of the pair with this number among those of its row."""
        if isinstance(pair, PreferenceRecord):
            return pair
        if not isinstance(pair, Pair):
            raise TypeError(f"{type(pair).__name__} in place of a Pair")
        key = record_key(self.source.name, row, number, pair)
        if (self.source.winner_first or pair.winner_first) and drawn_order(key):
            pair = pair.swap()
        _refuse_unwritable(pair)
        return PreferenceRecord(
            key=key,
            task=pair.task,
            text=pair.text,
            first=_placed(pair.first, "first"),
            second=_placed(pair.second, "second"),
            media=pair.media.as_media("media") if pair.media else None,
            source=pair.source.as_media("source") if pair.source else None,
            preference=pair.preference,
            completion=pair.completion,
            metadata=self._metadata(pair, row),
        )

    def _metadata(self, pair: Pair, row: Row) -> dict[str, Any]:
        """Facts about single candidates are mappings with the keys `first` and `second`: a swap can find them."""
        metadata = self.source.provenance
        metadata["revision"] = self._revision or self.folder.revision(row.file) or UNKNOWN_REVISION
        metadata["row"] = f"{row.file}:{row.number}"
        if pair.label_origin is not None:
            metadata["label_origin"] = str(pair.label_origin)
        if pair.split is not None:
            metadata["split"] = pair.split
            metadata["evaluation_only"] |= pair.split in EVALUATION_SPLITS
        if pair.votes is not None:
            metadata["votes"] = pair.votes.to_json()
        if pair.scores:
            metadata["scores"] = {
                name: {"first": tidy(first), "second": tidy(second)}
                for name, (first, second) in sorted(pair.scores.items())
            }
        if any(pair.models):
            metadata["models"] = {"first": pair.models[0], "second": pair.models[1]}
        return metadata | {name: value for name, value in pair.notes.items() if value is not None}

    def _leave_out(self, reason: str) -> None:
        self.counts["left_out"] += 1
        self.left_out[reason] += 1

    def _error(self, file: str, number: int, error: FieldError | RecordError) -> RowError:
        field_name, reason = (error.field, error.reason) if isinstance(error, FieldError) else ("record", str(error))
        return RowError(source=self.source.name, file=file, row=number, field=field_name, reason=reason)


def record_key(source: str, row: Row, number: int, pair: Pair) -> str:
    """Unique because of file, row and number; text and sizes keep two releases of a source apart."""
    identity = [row.file, row.number, number, pair.text, _size(pair.first), _size(pair.second)]
    digest = hashlib.sha256(json.dumps(identity, ensure_ascii=True).encode()).hexdigest()
    return f"{source.replace('_', '-')}-{digest[:20]}"


def drawn_order(key: str) -> bool:
    """A fair coin that depends on nothing but the key: whether the two candidates change places."""
    return bool(hashlib.sha256(f"order:{key}".encode()).digest()[0] & 1)


def _refuse_unwritable(pair: Pair) -> None:
    """Half a surrogate pair, as broken JSON and wrongly read tables have, is in no UTF-8: it would end the writing of a shard."""
    for name in ("text", "first", "second", "completion"):
        value = getattr(pair, name)
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise FieldError(name, f"is no text that UTF-8 can hold ({error.reason} at {error.start})") from error


def _placed(candidate: Content | str, role: str) -> Any:
    return candidate.as_media(role) if isinstance(candidate, Content) else candidate


def _size(candidate: Content | str) -> Any:
    return [len(data) for data in candidate.data] if isinstance(candidate, Content) else candidate
