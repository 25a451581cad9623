"""What OpenAI's clients send: turns of text and media, and how the answer is drawn.

Every sampling parameter that is not sent has the judge's default (greedy), not OpenAI's. A field that asks for
something which the judge can't do is refused by its name; null, and a value that asks for nothing (an empty list of
tools, a penalty of 0), count as absent.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from urt_core.engines import SamplingParams
from urt_core.errors import MediaError, PromptError
from urt_core.media import as_media
from urt_core.prompts import Prompt, Turn
from urt_core.records import Media, MediaKind
from urt_core.scorer import Scorer
from urt_core.server.problems import Problem
from urt_core.server.requests import MAX_TEXT

MAX_TURNS = 256
MAX_IMAGES = 64
GREEDY_BELOW = 1e-5
"""A temperature or nucleus this small chooses the likeliest token; divided by it, logits overflow (vLLM draws the same
line)."""
SLOT = re.compile(r"<image>[ \t]*\n?")
FORWARDED = ("response_format", "presence_penalty", "frequency_penalty")
"""Sent on as they are, by engines that honour them."""
RESPONSE_FORMATS = ("text", "json_object", "json_schema")
WITHOUT_EFFECT = frozenset(
    {"model", "user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "stream_options"}
    | {"parallel_tool_calls", "do_sample", "request_id", "priority", "cache_salt"}
)
"""Fields that change nothing about an answer here: names, bookkeeping, and how tools that nobody gave would be
called."""
ASKS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "length_penalty": (1,),
    "logit_bias": ({},),
    "top_k": (-1, 0),
    "min_p": (0,),
    "best_of": (1,),
    "echo": (False,),
    "use_beam_search": (False,),
    "modalities": (["text"],),
    "chat_template_kwargs": ({}, {"enable_thinking": False}),
    "enable_thinking": (False,),
    "thinking": ({"type": "disabled"},),
    "reasoning_effort": ("none",),
    "ignore_eos": (False,),
    "min_tokens": (0,),
    "stop_token_ids": ([],),
    "bad_words": ([],),
    "include_stop_str_in_output": (False,),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "continue_final_message": (False,),
    "documents": ([],),
    "mm_processor_kwargs": ({},),
    "return_hidden_states": (False,),
    "extra_body": ({},),
}
"""Field -> what a client sends that fills in defaults: those of OpenAI, vLLM and SGLang."""
SAYS_NOTHING = ("name", "id", "annotations")
"""Of a turn: fields that no chat template of a judge shows."""


class Url(BaseModel):
    url: str

    @model_validator(mode="before")
    @classmethod
    def bare(cls, value: Any) -> Any:
        """Some clients send the address without the object around it."""
        return {"url": value} if isinstance(value, str) else value


class TextPart(BaseModel):
    type: Literal["text"]
    text: str = Field(max_length=MAX_TEXT)
    image_url: None = None
    video_url: None = None


class MediaPart(BaseModel):
    """An image or a video; `detail` and the like say how OpenAI's own models look at it, the judge has its own
    policy."""

    type: Literal["image_url", "video_url"]
    image_url: Url | None = None
    video_url: Url | None = None

    @property
    def url(self) -> str:
        found = self.image_url if self.type == "image_url" else self.video_url
        return found.url if found else ""


Part = Annotated[TextPart | MediaPart, Field(discriminator="type")]


class Message(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[Part], Field(max_length=256, fail_fast=True)]

    model_config = ConfigDict(extra="allow")

    @field_validator("content", mode="before")
    @classmethod
    def text_alone(cls, value: Any) -> Any:
        return [{"type": "text", "text": value}] if isinstance(value, str) else value if value is not None else []

    @property
    def more(self) -> list[str]:
        """Names of fields that say something beside the content, such as calls of tools."""
        return [name for name, sent in (self.model_extra or {}).items() if sent and name not in SAYS_NOTHING]


class ChatRequest(BaseModel):
    model_config = ConfigDict(extra="allow")
    refused_with: ClassVar[int] = 400

    messages: list[Message] = Field(min_length=1, max_length=MAX_TURNS, fail_fast=True)
    temperature: float = Field(default=0.0, ge=0, le=10, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    max_tokens: int | None = Field(default=None, ge=1, le=32768)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=32768)
    n: int = Field(default=1, ge=1, le=32)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**64)
    stop: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(default=[], max_length=16, fail_fast=True)
    logprobs: bool = False
    top_logprobs: int = Field(default=0, ge=0, le=20)
    stream: bool = False

    @model_validator(mode="before")
    @classmethod
    def without_nulls(cls, value: Any) -> Any:
        """Clients send null for what they do not ask for."""
        return {name: sent for name, sent in value.items() if sent is not None} if isinstance(value, dict) else value

    @field_validator("stop", mode="before")
    @classmethod
    def one_stop(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @property
    def wants_usage(self) -> bool:
        options = (self.model_extra or {}).get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True

    def sampling(self, *, max_tokens: int, honoured: frozenset[str]) -> SamplingParams:
        """`max_tokens` where the client sends none; what the engine does not honour is refused."""
        asked = {name: sent for name, sent in (self.model_extra or {}).items() if asks_something(name, sent)}
        for name in asked:
            if name not in FORWARDED or name not in honoured:
                raise Problem(400, f"{name} is not supported by this judge; leave the field away", param=name)
            check_forwarded(name, sent=asked[name])
        if self.top_logprobs and not self.logprobs:
            raise Problem(400, "top_logprobs needs logprobs: true beside it", param="top_logprobs")
        if self.top_logprobs and "top_logprobs" not in honoured:
            raise Problem(
                400, "top_logprobs is not supported by this judge's engine; leave it away", param="top_logprobs"
            )
        if (self.model_extra or {}).get("do_sample") and not self.temperature:
            raise Problem(400, "do_sample is true and there is no temperature; send one", param="do_sample")
        return SamplingParams(
            temperature=self.temperature if self.temperature >= GREEDY_BELOW else 0.0,
            top_p=max(self.top_p, GREEDY_BELOW),
            max_tokens=self.max_completion_tokens or self.max_tokens or max_tokens,
            # Engines count from 0; OpenAI's seeds may be negative.
            seed=None if self.seed is None else self.seed % 2**63,
            num_completions=self.n,
            logprobs=self.logprobs,
            top_logprobs=self.top_logprobs,
            stop=tuple(self.stop),
            extra=asked,
        )


def asks_something(name: str, sent: Any) -> bool:
    return name not in WITHOUT_EFFECT and not any(sent == nothing for nothing in ASKS_NOTHING.get(name, ()))


def check_forwarded(name: str, *, sent: Any) -> None:
    """Refuses here what every endpoint would, by the name of the field and not by that of the endpoint's error."""
    if name == "response_format":
        allowed = f"an object whose type is one of {', '.join(RESPONSE_FORMATS)}, with a json_schema where it is that"
        kind = sent.get("type") if isinstance(sent, dict) else None
        fits = kind in RESPONSE_FORMATS and (kind != "json_schema" or isinstance(sent.get("json_schema"), dict))
    else:
        allowed = "a number from -2 to 2"
        fits = isinstance(sent, int | float) and not isinstance(sent, bool) and -2 <= sent <= 2
    if not fits:
        raise Problem(400, f"{name} is not {allowed}", param=name)


def chat_prompt(request: ChatRequest, scorer: Scorer) -> Prompt:
    """The turns as the judge's chat template gets them, images in their places. Reads media, so not on the event
    loop."""
    turns = [turn_of(index, message, scorer) for index, message in enumerate(request.messages)]
    if request.messages[-1].role != "user":
        text = f"the last of the messages is the {request.messages[-1].role}'s; the judge answers a user's"
        raise Problem(400, text, param="messages")
    *before, last = turns
    try:
        prompt = Prompt(parts=last.parts, before=tuple(before))
    except PromptError as error:  # a text that spells a token of the chat template
        raise Problem(400, f"messages: {error}", param="messages") from None
    if len(prompt.text) > MAX_TEXT or len(prompt.media) > MAX_IMAGES:
        raise Problem(
            400,
            f"messages hold {len(prompt.text):,} characters and {len(prompt.media)} media, allowed are {MAX_TEXT:,} and {MAX_IMAGES}",
            param="messages",
        )
    return prompt


def turn_of(index: int, message: Message, scorer: Scorer) -> Turn:
    place = f"messages.{index}.content"
    for name in message.more:
        text = f"messages.{index}.{name} is nothing that a judge is shown; leave the field away"
        raise Problem(400, text, param=f"messages.{index}.{name}")
    parts: list[str | Media] = []
    for number, part in enumerate(message.content):
        if isinstance(part, TextPart):
            parts.append(part.text)
            continue
        kind = MediaKind.IMAGE if part.type == "image_url" else MediaKind.VIDEO
        name = f"{place}.{number}"
        if not part.url:
            raise Problem(400, f"{name} has no {part.type} with a url", param=f"{name}.{part.type}")
        try:
            medium = as_media(part.url, kind=kind, name=name, download=scorer.download, allow_paths=scorer.allow_paths)
        except MediaError as error:
            raise Problem(400, str(error), param=name, code="bad_media") from None
        parts.append(medium)
    filled = tuple(part for part in in_slots(parts) if part)
    if not filled:
        raise Problem(400, f"{place} is empty", param=place)
    return Turn(role="system" if message.role == "developer" else message.role, parts=filled)


def in_slots(parts: list[str | Media]) -> list[str | Media]:
    """Where a turn's text holds as many `<image>` as the turn has images, they are where the images belong.

    ["<image>\\nWhich?", image] -> [image, "Which?"]; any other number is text, which no prompt takes in.
    """
    media = [part for part in parts if isinstance(part, Media)]
    if not media or sum(len(SLOT.findall(part)) for part in parts if isinstance(part, str)) != len(media):
        return parts
    remaining = iter(media)
    placed: list[str | Media] = []
    for part in parts:
        if isinstance(part, str):
            first, *others = SLOT.split(part)
            placed.append(first)
            for text in others:
                placed += [next(remaining), text]
    return placed
