"""An engine before weights are read and servers are called: what its questions are named by, and how to open it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from urt_core.engines.completion import Completion, SamplingParams
from urt_core.engines.protocol import AsyncEngine, Engine
from urt_core.errors import EngineError
from urt_core.media.sampling import MediaPolicy
from urt_core.prompts import Prompt

T = TypeVar("T")


class NotOpened(EngineError):
    """A question to an engine that is not open yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class UnopenedEngine:
    """Names its questions as the opened one does, and answers none.

    UnopenedEngine(open=lambda: TransformersEngine.from_pretrained("judge", policy=shown), model="judge", policy=shown)
    """

    open: Callable[[], Engine]
    model: str
    policy: MediaPolicy
    batch_size: int = 64
    concurrency: int | None = None
    """None: it computes batches."""
    gives_logprobs: bool = True

    def generate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        raise NotOpened(f"{self.model!r} is asked before it is opened")

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        return self.generate(prompts, sampling)


def opened(engine: Engine | AsyncEngine) -> Engine | AsyncEngine:
    return engine.open() if isinstance(engine, UnopenedEngine) else engine


def without_opening(judging: Callable[[], T]) -> T | None:
    """What `judging` by an unopened engine finds, where all its questions have answers; None from the first that has
    none."""
    try:
        return judging()
    except NotOpened:
        return None
