"""Questions to an engine: a few prompts each, read together. One way for all engines, batched, threaded or on a network."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from urt_core.engines import AsyncEngine, Completion, Engine, SamplingParams
from urt_core.prompts import Prompt
from urt_core.streaming import BACKGROUND, stream_map

R = TypeVar("R")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question(Generic[R]):
    """What is sent, and how the answers are read.

    Question(prompts=(given, swapped), read=lambda groups: compare_votes(...))
    """

    prompts: tuple[Prompt, ...]
    read: Callable[[Sequence[Sequence[Completion]]], R]
    """Gets one list of completions per prompt."""
    sampling: SamplingParams | None = None
    """Where it is not that of all questions: a seed of its own."""


class Asker:
    """Asks an engine. A result among the questions (of a request that failed before it could be asked) passes through."""

    def __init__(self, engine: Engine | AsyncEngine) -> None:
        self.engine = engine

    def ask(
        self, questions: Iterable[Question[R] | R], sampling: SamplingParams, *, ordered: bool = True
    ) -> Iterator[R]:
        """Lazily, in the order of the questions or as they finish."""
        if isinstance(self.engine, Engine) and not self.is_concurrent:
            return self._ask_in_batches(self.engine, questions, sampling)
        return BACKGROUND.stream(self.aask(questions, sampling, ordered=ordered))

    async def aask(
        self, questions: Iterable[Question[R] | R], sampling: SamplingParams, *, ordered: bool = True
    ) -> AsyncIterator[R]:
        if isinstance(self.engine, Engine) and not self.is_concurrent:
            results = self._ask_in_batches(self.engine, questions, sampling)
            exhausted: Any = object()
            while (result := await asyncio.to_thread(next, results, exhausted)) is not exhausted:
                yield result
            return

        async def answer(question: Question[R] | R) -> R:
            if not isinstance(question, Question):
                return question
            assert isinstance(self.engine, AsyncEngine)
            return question.read(await self.engine.agenerate(question.prompts, question.sampling or sampling))

        # Twice what the engine keeps in flight, so that one slow question at the head does not idle it.
        window = 2 * getattr(self.engine, "concurrency", 1)
        async for result in stream_map(answer, questions, window=window, ordered=ordered):
            yield result

    @property
    def is_concurrent(self) -> bool:
        """Engines that wait on a network say how many requests they keep in flight."""
        return isinstance(self.engine, AsyncEngine) and getattr(self.engine, "concurrency", 1) > 1

    def _ask_in_batches(
        self, engine: Engine, questions: Iterable[Question[R] | R], sampling: SamplingParams
    ) -> Iterator[R]:
        """Fill the engine's batch with whole questions that are sampled alike, in order."""
        room = max(1, getattr(engine, "batch_size", 1) // sampling.num_completions)
        batch: list[Question[R] | R] = []
        num_prompts, alike = 0, sampling
        for question in questions:
            if isinstance(question, Question):
                own = question.sampling or sampling
                if own != alike and num_prompts:
                    yield from answer_batch(engine, batch, alike)
                    batch, num_prompts = [], 0
                alike = own
                num_prompts += len(question.prompts)
            batch.append(question)
            if num_prompts >= room:
                yield from answer_batch(engine, batch, alike)
                batch, num_prompts = [], 0
        yield from answer_batch(engine, batch, alike)


def answer_batch(engine: Engine, batch: Sequence[Question[R] | R], sampling: SamplingParams) -> Iterator[R]:
    prompts = [prompt for question in batch if isinstance(question, Question) for prompt in question.prompts]
    groups = iter(engine.generate(prompts, sampling) if prompts else [])
    for question in batch:
        if isinstance(question, Question):
            yield question.read([next(groups) for _ in question.prompts])
        else:
            yield question
