"""The JSON that clients send."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from urt_core.prompts import PointContract
from urt_core.records import Task

MAX_TEXT = 100_000
Text = Field(max_length=MAX_TEXT)
Medium = str | list[str]
"""A data: URI (or an address, where downloads are on), or a list of them: a video's frames. In understanding tasks a
candidate is an answer's text."""


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid")

    task: Task
    text: str = Text
    media: Medium | None = None
    key: str = Field(default="request", pattern=r"^[a-z0-9-]{1,64}$")
    votes: int | None = Field(default=None, ge=1, le=32)


class CompareRequest(Request):
    first: Medium
    second: Medium
    orders: Literal["both", "given"] | None = None


class ScoreRequest(Request):
    candidate: Medium
    contract: PointContract = PointContract.THINK


class RankRequest(Request):
    candidates: list[Medium]
    method: Literal["round_robin", "swiss"] = "round_robin"
    num_rounds: int | None = Field(default=None, ge=1, le=64)
    orders: Literal["both", "given"] | None = None


class ComputeRequest(BaseModel):
    """What Flow-Factory's remote reward client sends: images as base64 without a data: prefix, None where there are none."""

    model_config = ConfigDict(extra="ignore")

    prompt: list[str]
    image: list[str] | None = None
    video: list[list[str]] | None = None
    condition_images: Any = None
    condition_videos: Any = None
