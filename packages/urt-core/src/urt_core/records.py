"""The record: two candidates, what they are judged on, and which one people (or a construction) preferred."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Self, TypeVar

from urt_core.errors import RecordError

E = TypeVar("E", bound=StrEnum)
MAX_KEY = 64
KEY_PATTERN = re.compile(rf"[a-z0-9-]{{1,{MAX_KEY}}}")


class MediaKind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"


class Task(StrEnum):
    """What is compared: two generated images or videos, or two answers about one image or video."""

    IMAGE_GENERATION = "image_generation"
    VIDEO_GENERATION = "video_generation"
    IMAGE_UNDERSTANDING = "image_understanding"
    VIDEO_UNDERSTANDING = "video_understanding"

    is_generation: bool
    is_video: bool
    media_kind: MediaKind
    noun: str
    """The word a candidate is called by: `Image 1`, `Video 1` or `Answer 1`."""
    dimensions: tuple[str, str, str]
    """The core dimensions each judgement scores (UnifiedReward-Think, arXiv 2505.03318, and its released prompts)."""

    def __init__(self, value: str) -> None:
        self.is_generation = value.endswith("generation")
        self.is_video = value.startswith("video")
        self.media_kind = MediaKind.VIDEO if self.is_video else MediaKind.IMAGE
        if self.is_generation:
            self.noun = "Video" if self.is_video else "Image"
            second = "temporal coherence" if self.is_video else "aesthetics"
            self.dimensions = ("semantic consistency", second, "authenticity")
        else:
            self.noun = "Answer"
            self.dimensions = ("semantic accuracy", "correctness", "clarity")

    @classmethod
    def _missing_(cls, value: object) -> None:
        raise RecordError(f"task is {value!r}; allowed: {', '.join(repr(str(task)) for task in cls)}")


class Preference(StrEnum):
    """Which candidate is better."""

    FIRST = "first"
    SECOND = "second"
    TIE = "tie"

    def swap(self) -> "Preference":
        """The same preference after the two candidates have changed places."""
        return {Preference.FIRST: Preference.SECOND, Preference.SECOND: Preference.FIRST}.get(self, self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Media:
    """One image or one video, by the names of its files and, once read, their encoded bytes.

    Media(kind=MediaKind.VIDEO, files=("first.f00.png", "first.f01.png"))    # frames in order, names inside a sample
    Media(kind=MediaKind.IMAGE, files=("photos/cat.jpg",))                   # a path outside a sample
    """

    kind: MediaKind
    files: tuple[str, ...]
    """An image has one file; a video has one file per frame in order, or one video file."""
    data: tuple[bytes, ...] = field(default=(), repr=False)
    """The encoded bytes of `files`, in the same order; empty until they are read. Never part of the JSON."""
    decoded: Any = field(default=None, repr=False, compare=False)
    """What `urt_core.media.with_frames` made of them ahead of time; None until then. Never part of the JSON."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", _member(MediaKind, self.kind, "Media.kind"))
        if not isinstance(self.files, tuple) or not all(isinstance(name, str) and name for name in self.files):
            raise RecordError(f"Media.files is {self.files!r}; it must be a tuple of non-empty file names")
        if not self.files or (self.kind is MediaKind.IMAGE and len(self.files) != 1):
            raise RecordError(
                f"a {self.kind} has {len(self.files)} files; an image needs exactly one, a video at least one"
            )
        if self.data and len(self.data) != len(self.files):
            raise RecordError(
                f"Media.data holds {len(self.data)} items for {len(self.files)} files {self.files!r}; "
                "give the bytes of every file in order, or none"
            )

    def to_json(self) -> dict[str, Any]:
        return {"kind": str(self.kind), "files": list(self.files)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        _check_names(value, allowed=("kind", "files"), what="Media")
        return cls(kind=value["kind"], files=tuple(value["files"]))


Candidate = Media | str


@dataclass(frozen=True, kw_only=True, slots=True)
class PreferenceRecord:
    """Two candidates, what they are judged on, and the preference between them.

    PreferenceRecord(
        key="sprites-train-000017", task=Task.IMAGE_GENERATION, text="two red cars left of a dog",
        first=Media(kind=MediaKind.IMAGE, files=("first.png",)), second=Media(kind=MediaKind.IMAGE, files=("second.png",)),
        preference=Preference.FIRST, metadata={"source": "sprites", "label_origin": "constructed", "cause": "count"},
    )
    PreferenceRecord(
        key="vqa-3", task=Task.IMAGE_UNDERSTANDING, text="How many cars are there?", first="Two.", second="Three.",
        media=Media(kind=MediaKind.IMAGE, files=("media.png",)), preference=Preference.FIRST,
    )
    PreferenceRecord(
        key="edit-9", task=Task.IMAGE_GENERATION, text="make the car red", source=Media(kind=MediaKind.IMAGE, files=("source.png",)),
        first=Media(kind=MediaKind.IMAGE, files=("first.png",)), second=Media(kind=MediaKind.IMAGE, files=("second.png",)),
    )
    """

    key: str
    """Unique inside a data set; lower-case letters, digits and hyphens, at most 64."""
    task: Task
    text: str
    """The caption (generation) or the question (understanding)."""
    first: Candidate
    """Media in generation, the answer's text in understanding."""
    second: Candidate
    media: Media | None = None
    """What the question is about; understanding only."""
    source: Media | None = None
    """What both candidates are edits of, and `text` the instruction; generation only."""
    preference: Preference | None = None
    """The label; None where it is not known."""
    completion: str | None = None
    """The judgement text to imitate, in supervised fine-tuning data."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """JSON facts beside the pair: source, revision, licence, votes, label origin, cause, scene truth. What belongs to one
    candidate stands under the key "first" or "second", so that `swap` can keep it with its candidate."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", _member(Task, self.task, "PreferenceRecord.task"))
        if self.preference is not None:
            object.__setattr__(self, "preference", _member(Preference, self.preference, "PreferenceRecord.preference"))
        if not isinstance(self.key, str) or not KEY_PATTERN.fullmatch(self.key):
            raise RecordError(f"key is {self.key!r}; it must match {KEY_PATTERN.pattern} (lower case, digits, hyphens)")
        self._check_text("text", self.text)
        self._check_candidates()
        if self.completion is not None:
            self._check_text("completion", self.completion)
        try:
            json.dumps(self.metadata, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise RecordError(
                f"record {self.key}: metadata is not JSON ({error}); keep strings, finite numbers, lists and mappings"
            ) from error

    def _check_text(self, name: str, value: object) -> None:
        if not isinstance(value, str):
            raise RecordError(f"record {self.key}: {name} is a {type(value).__name__}; it must be a string")
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise RecordError(f"record {self.key}: {name} holds a lone surrogate; decode it as UTF-8 before storing it")

    def _check_candidates(self) -> None:
        for name, candidate in (("first", self.first), ("second", self.second)):
            if self.task.is_generation:
                self._check_media(name, candidate)
            else:
                self._check_text(name, candidate)
        if not self.task.is_generation:
            self._check_media("media", self.media)
            if self.source is not None:
                raise RecordError(f"record {self.key}: {self.task} has no source that is edited; leave source as None")
        elif self.media is not None:
            raise RecordError(
                f"record {self.key}: {self.task} has no media beside its candidates; leave media as None "
                "(what they are edits of is their source)"
            )
        elif self.source is not None:
            self._check_media("source", self.source)

    def _check_media(self, name: str, value: object) -> None:
        kind = self.task.media_kind
        if not isinstance(value, Media) or value.kind is not kind:
            found = value.kind if isinstance(value, Media) else type(value).__name__
            raise RecordError(f"record {self.key}: {name} is a {found}; {self.task} needs Media of kind {kind}")

    @property
    def is_edit(self) -> bool:
        """Whether the candidates are edits of one source."""
        return self.source is not None

    @property
    def all_media(self) -> dict[str, Media]:
        """Everything there is to look at, by the name of its field, in the order it is shown: a source before its edits."""
        fields = (("source", self.source), ("first", self.first), ("second", self.second), ("media", self.media))
        return {name: value for name, value in fields if isinstance(value, Media)}

    def swap(self) -> "PreferenceRecord":
        """The same pair shown in the other order. The completion names candidates by number, so it is dropped.

        What metadata keep for "first" and "second", at any depth (votes, scores, models, truth), changes places too.
        """
        preference = self.preference.swap() if self.preference is not None else None
        return replace(
            self,
            first=self.second,
            second=self.first,
            preference=preference,
            completion=None,
            metadata=_swapped(self.metadata),
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object without media bytes; `from_json` reads it back."""
        return {
            "key": self.key,
            "task": str(self.task),
            "text": self.text,
            "first": _candidate_to_json(self.first),
            "second": _candidate_to_json(self.second),
            "media": self.media.to_json() if self.media else None,
            **({"source": self.source.to_json()} if self.source else {}),
            "preference": str(self.preference) if self.preference else None,
            "completion": self.completion,
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        required = ("key", "task", "text", "first", "second")
        _check_names(
            value,
            allowed=(*required, "media", "source", "preference", "completion", "metadata"),
            required=required,
            what="PreferenceRecord",
        )
        media, source = value.get("media"), value.get("source")
        return cls(
            key=value["key"],
            task=value["task"],
            text=value["text"],
            first=_candidate_from_json(value["first"]),
            second=_candidate_from_json(value["second"]),
            media=Media.from_json(media) if media is not None else None,
            source=Media.from_json(source) if source is not None else None,
            preference=value.get("preference"),
            completion=value.get("completion"),
            metadata=value.get("metadata") or {},
        )


def key_with(key: str, ending: str) -> str:
    """The key of a record that is made from the one of `key`. Of a key that is too long for it the end goes, for a hash
    of the whole: no two become one.

    >>> key_with("pair-17", "direct")
    'pair-17-direct'
    """
    room = MAX_KEY - len(ending) - 1
    if len(key) > room:
        key = f"{key[: room - 17]}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    return f"{key}-{ending}"


def _swapped(value: Any) -> Any:
    """`value` with every key "first" called "second", and the other way round."""
    if isinstance(value, Mapping):
        others = {"first": "second", "second": "first"}
        return {others.get(name, name): _swapped(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_swapped(inner) for inner in value]
    return value


def _candidate_to_json(candidate: Candidate) -> Any:
    return candidate.to_json() if isinstance(candidate, Media) else candidate


def _candidate_from_json(value: Any) -> Candidate:
    return Media.from_json(value) if isinstance(value, Mapping) else value


def _member(kind: type[E], value: object, name: str) -> E:
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(repr(str(member)) for member in kind)
        raise RecordError(f"{name} is {value!r}; allowed: {allowed}") from None


def _check_names(
    value: object, *, allowed: tuple[str, ...], what: str, required: tuple[str, ...] | None = None
) -> None:
    if not isinstance(value, Mapping):
        raise RecordError(f"{what} JSON is a {type(value).__name__}; it must be an object")
    missing = [name for name in (required or allowed) if name not in value]
    unknown = [name for name in value if name not in allowed]
    if missing or unknown:
        raise RecordError(
            f"{what} JSON lacks {missing} and has unknown {unknown}; allowed fields: {', '.join(allowed)}"
        )
