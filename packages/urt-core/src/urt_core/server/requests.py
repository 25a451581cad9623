"""The JSON that clients send."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from urt_core.prompts import PointContract
from urt_core.records import Task

MAX_TEXT = 100_000
MAX_FRAMES = 256
MAX_SAMPLES = 4096
"""Of one list. What a server judges in one request is `ServerSettings.max_candidates`."""
Text = Annotated[str, Field(max_length=MAX_TEXT)]
Key = Annotated[str, Field(max_length=200)]
Frames = Annotated[list[str], Field(max_length=MAX_FRAMES, fail_fast=True)]
Medium = str | Frames
"""A data: URI (or an address, where downloads are on), or a list of them: a video's frames. In understanding tasks a
candidate is an answer's text."""
Media = Annotated[list[Medium], Field(max_length=MAX_SAMPLES, fail_fast=True)]


class Request(BaseModel):
    """What is common to the routes of one question. `key` is handed back as it is."""

    model_config = ConfigDict(extra="forbid")

    task: Task
    text: Text
    media: Medium | None = None
    key: Key = "request"
    votes: int | None = Field(default=None, ge=1, le=32)

    @model_validator(mode="after")
    def answers_are_texts(self) -> "Request":
        """Pictures are as long as the body allows; answers are texts."""
        if not self.task.is_generation:
            for candidate in self.candidates_of():
                if not isinstance(candidate, str) or len(candidate) > MAX_TEXT:
                    raise ValueError(f"in {self.task} a candidate is a text of at most {MAX_TEXT:,} characters")
        return self

    def candidates_of(self) -> list[Medium]:
        return []

    def question(self, *names: str) -> dict[str, Any]:
        """Keyword arguments of a scorer: what every question has, and the fields `names`."""
        return {name: getattr(self, name) for name in ("task", "text", "media", *names)}


class CompareRequest(Request):
    first: Medium
    second: Medium
    orders: Literal["both", "given"] | None = None
    mode: Literal["reason", "instant", "auto"] | None = None
    bounds: tuple[float, float] | None = None

    def candidates_of(self) -> list[Medium]:
        return [self.first, self.second]


class ScoreRequest(Request):
    candidate: Medium
    contract: PointContract = PointContract.THINK
    against: Literal["anchors"] | None = None

    @model_validator(mode="after")
    def one_scale(self) -> "ScoreRequest":
        if self.against and "contract" in self.model_fields_set:
            raise ValueError("a candidate is scored by a contract or against anchors; send one of the two")
        return self

    def candidates_of(self) -> list[Medium]:
        return [self.candidate]


class RankRequest(Request):
    candidates: Media
    method: Literal["round_robin", "swiss"] = "round_robin"
    num_rounds: int | None = Field(default=None, ge=1, le=64)
    orders: Literal["both", "given"] | None = None

    def candidates_of(self) -> list[Medium]:
        return self.candidates


class ComputeRequest(BaseModel):
    """What Flow-Factory's remote reward client sends: images as base64 without a data: prefix, None where there are
    none.

    Beside it, in the place of images, `answer`s to questions about `media`, which has one picture (or list of frames)
    for each; for trainers on several processes: `groups`, an id for each sample, and `group_size`, how many samples of
    that id there are over all processes; and `references` for samples that stand alone.
    """

    model_config = ConfigDict(extra="ignore")

    prompt: Annotated[list[Text], Field(max_length=MAX_SAMPLES, fail_fast=True)]
    image: Annotated[list[str], Field(max_length=MAX_SAMPLES, fail_fast=True)] | None = None
    video: Annotated[list[Frames], Field(max_length=MAX_SAMPLES, fail_fast=True)] | None = None
    answer: Annotated[list[Text], Field(max_length=MAX_SAMPLES, fail_fast=True)] | None = None
    media: Media | None = None
    condition_images: Annotated[list[Frames | None], Field(max_length=MAX_SAMPLES, fail_fast=True)] | None = None
    """What each sample is an edit of: a list with one picture, or an empty one."""
    condition_videos: list[Any] | None = Field(default=None, max_length=MAX_SAMPLES)
    groups: Annotated[list[Key], Field(max_length=MAX_SAMPLES, fail_fast=True)] | None = None
    group_size: int | None = Field(default=None, ge=1)
    group_timeout_s: float | None = Field(default=None, gt=0)
    references: Annotated[list[Media], Field(max_length=MAX_SAMPLES, fail_fast=True)] | None = None
