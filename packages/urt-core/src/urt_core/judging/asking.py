"""Questions to an engine: a few prompts each, read together. One way for all engines, batched, threaded or on a network."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from urt_core.engines import AsyncEngine, Completion, Engine, SamplingParams, awaitable, checked, traits
from urt_core.judging.faults import OWN_FAULTS, faulty
from urt_core.prompts import Prompt
from urt_core.streaming import BACKGROUND, LATER, stream_map

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
        self.engine, self.traits = engine, traits(engine)

    def ask(
        self,
        questions: Iterable[Question[R] | R],
        sampling: SamplingParams,
        *,
        ordered: bool = True,
    ) -> Iterator[R]:
        """Lazily, in the order of the questions or as they finish. `LATER` among them asks for answers first."""
        if isinstance(self.engine, Engine) and not self.traits.is_concurrent:
            return self._ask_in_batches(self.engine, questions, sampling)
        return BACKGROUND.stream(self.aask(questions, sampling, ordered=ordered))

    async def aask(
        self,
        questions: Iterable[Question[R] | R],
        sampling: SamplingParams,
        *,
        ordered: bool = True,
    ) -> AsyncGenerator[R, None]:
        if isinstance(self.engine, Engine) and not self.traits.is_concurrent:
            results = self._ask_in_batches(self.engine, questions, sampling)
            exhausted: Any = object()
            while (result := await asyncio.to_thread(next, results, exhausted)) is not exhausted:
                yield result
            return

        engine = self.engine
        assert isinstance(engine, AsyncEngine)

        async def answer(question: Question[R] | R) -> R:
            if not isinstance(question, Question):
                return question
            asked = question.sampling or sampling
            try:
                answer = awaitable(engine.agenerate(question.prompts, asked), engine)
                groups = checked(await answer, question.prompts, asked, engine)
            except OWN_FAULTS as error:
                groups = unanswerable(question.prompts, error, asked)
            return question.read(groups)

        # Twice what the engine keeps in flight, so that one slow question at the head does not idle it.
        results = stream_map(answer, questions, window=2 * self.traits.concurrency, ordered=ordered)
        async with aclosing(results):  # whoever stops listening has the requests stopped at once
            async for result in results:
                yield result

    def _ask_in_batches(
        self, engine: Engine, questions: Iterable[Question[R] | R], sampling: SamplingParams
    ) -> Iterator[R]:
        """Fill the engine's batch with whole questions that are sampled alike, in order."""
        room = max(1, self.traits.batch_size // sampling.num_completions)
        batch: list[Question[R] | R] = []
        num_prompts, alike = 0, sampling
        for question in questions:
            if question is LATER:
                yield from answer_batch(engine, batch, alike)
                batch, num_prompts = [], 0
                continue
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


def alone(engine: Engine, prompt: Prompt, sampling: SamplingParams) -> list[Completion]:
    """One bad prompt of a question that asks about many pairs costs its own answer."""
    try:
        [group] = checked(engine.generate([prompt], sampling), [prompt], sampling, engine)
    except OWN_FAULTS as error:
        [group] = unanswerable([prompt], error, sampling)
    return [*group]


def answer_batch(engine: Engine, batch: Sequence[Question[R] | R], sampling: SamplingParams) -> Iterator[R]:
    """A question that the engine can't take is found by asking each alone, and answered with the reason."""
    prompts = [prompt for question in batch if isinstance(question, Question) for prompt in question.prompts]
    try:
        groups = iter(checked(engine.generate(prompts, sampling), prompts, sampling, engine) if prompts else [])
    except OWN_FAULTS as error:
        if len(batch) > 1:
            for question in batch:
                yield from answer_batch(engine, [question], sampling)
            return
        groups = iter(
            [alone(engine, prompt, sampling) for prompt in prompts]
            if len(prompts) > 1
            else unanswerable(prompts, error, sampling)
        )
    for question in batch:
        if isinstance(question, Question):
            yield question.read([next(groups) for _ in question.prompts])
        else:
            yield question


def unanswerable(prompts: Sequence[Prompt], error: Exception, sampling: SamplingParams) -> list[list[Completion]]:
    return [[faulty(error)] * sampling.num_completions for _ in prompts]
