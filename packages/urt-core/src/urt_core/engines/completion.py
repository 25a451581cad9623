"""What an engine is asked, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeGuard

from urt_core.errors import ConfigError


class Status(StrEnum):
    """How a judgement ended. Everything but `OK` means that there is no verdict."""

    OK = "ok"
    PARSE_ERROR = "parse_error"
    REFUSED = "refused"
    TRUNCATED = "truncated"
    TIMEOUT = "timeout"
    HTTP_ERROR = "http_error"
    BAD_MEDIA = "bad_media"
    BAD_RECORD = "bad_record"
    BUDGET = "budget"
    ALONE = "alone"
    """A win rate of a sample that has no others of its prompt beside it, nor a reference."""
    INCOMPLETE = "incomplete"
    """A win rate in a group whose other samples did not come in time."""


class FinishReason(StrEnum):
    """Why an engine stopped: the model was done, the token limit came first, or there is no answer at all."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    HTTP_ERROR = "http_error"
    BAD_MEDIA = "bad_media"
    BAD_RECORD = "bad_record"
    BUDGET = "budget"


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Tokens counted by the engine: Usage(prompt_tokens=812, completion_tokens=164)."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
        )

    def to_json(self) -> dict[str, int]:
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": self.completion_tokens}


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingParams:
    """How completions are drawn: SamplingParams(temperature=1.0, max_tokens=512, seed=7, num_completions=8)."""

    temperature: float = 0.0
    """0 is greedy decoding."""
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int | None = None
    num_completions: int = 1
    """Completions per prompt."""
    logprobs: bool = False
    """Return the log-probability of each sampled token, under the sampling temperature."""
    top_logprobs: int = 0
    """So many of the likeliest tokens at each position besides, of an engine that `honours` it."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer, and are not part of it; an engine that does not `honour` it goes on behind them."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the chat protocol by their own names, such as `response_format`, of an engine that `honours`
    them."""

    def to_json(self) -> dict[str, Any]:
        """What an answer depends on. The fields that few ask for are there only if they were: they change no older
        cache key."""
        rare: dict[str, Any] = {"top_logprobs": self.top_logprobs, "stop": list(self.stop), "extra": dict(self.extra)}
        always = {name: getattr(self, name) for name in SamplingParams.__dataclass_fields__ if name not in rare}
        return always | {name: value for name, value in rare.items() if value}

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise ConfigError(f"temperature is {self.temperature}; it must be 0 (greedy) or a positive number")
        if not 0.0 < self.top_p <= 1.0:
            raise ConfigError(f"top_p is {self.top_p}; it must be above 0 and at most 1")
        for name in ("max_tokens", "num_completions"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One answer of a model, or the reason why there is none.

    Completion(text="<think>...</think><answer>Image 1 is better</answer>", finish_reason=FinishReason.STOP,
               token_ids=(151667, 198, 151645), logprobs=(-0.1, -0.3, -0.0), usage=Usage(completion_tokens=3))
    """

    text: str
    finish_reason: FinishReason = FinishReason.STOP
    token_ids: tuple[int, ...] = ()
    """The sampled tokens, the end-of-sequence token included; empty where the engine does not return them."""
    logprobs: tuple[float, ...] = field(default=(), repr=False)
    """One per token id, under the sampling temperature."""
    token_texts: tuple[str, ...] = field(default=(), repr=False)
    """What each token spells, where log-probabilities were asked for."""
    top_logprobs: tuple[tuple[tuple[str, float], ...], ...] = field(default=(), repr=False)
    """Per token the likeliest ones, as (text, log-probability), where `SamplingParams.top_logprobs` asked for them."""
    usage: Usage = Usage()
    detail: str = ""
    """What went wrong, for the reader of a log."""

    @property
    def token_logprobs(self) -> tuple[tuple[str, float], ...]:
        """(text, log-probability) of each token; empty where the engine gave none, or gave numbers that are none (NaN,
        above 0)."""
        if len(self.token_texts) != len(self.logprobs) or not all(map(is_logprob, self.logprobs)):
            return ()
        return tuple(zip(self.token_texts, (min(0.0, number) for number in self.logprobs), strict=True))

    def __post_init__(self) -> None:
        object.__setattr__(self, "finish_reason", FinishReason(self.finish_reason))

    @property
    def status(self) -> Status:
        """`OK` says that the model finished; whether its text can be read is the parser's question."""
        if self.finish_reason is FinishReason.STOP:
            return Status.OK
        return Status.TRUNCATED if self.finish_reason is FinishReason.LENGTH else Status(str(self.finish_reason))


# The rounding of a log-softmax in half precision leaves about so much above 0.
LOGPROB_ROUNDING = 1e-4


def is_logprob(number: object) -> TypeGuard[float]:
    """A number of at most 0, which NaN is not.

    >>> [is_logprob(number) for number in (-0.5, 0.5, float("nan"), True)]
    [True, False, False, False]
    """
    return isinstance(number, int | float) and not isinstance(number, bool) and number <= LOGPROB_ROUNDING
