"""Concurrent callers of one local engine, merged into its batches."""

import asyncio
import inspect
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from urt_core.engines import Completion, Engine, SamplingParams
from urt_core.engines.wrappers.bounded import too_long
from urt_core.engines.wrappers.wrapping import WrappingEngine
from urt_core.prompts import Prompt

Outcome = list[Completion] | Exception


@dataclass(slots=True)
class Waiting:
    prompt: Prompt
    sampling: SamplingParams
    answer: asyncio.Future[list[Completion]] = field(repr=False)


class BatchingEngine(WrappingEngine[Engine]):
    """What is asked while the engine is busy goes into its next batch; an idle engine waits `max_wait_s` for company.

    Callers are kept apart: where a batch fails, each half of it is tried by itself, so that the fault ends with whoever
    brought it; a prompt of more than `max_prompt_tokens` of text never reaches the engine; and an engine that asks
    (`is_wanted` of `generate`) is told which callers have gone, so that it stops writing for them.

        scorer = Scorer(engine=BatchingEngine(TransformersEngine.from_pretrained(folder, policy=policy)))
    """

    def __init__(self, engine: Engine, *, max_wait_s: float = 0.01, max_prompt_tokens: int | None = None) -> None:
        super().__init__(engine)
        self.max_wait_s, self.max_prompt_tokens = max_wait_s, max_prompt_tokens
        self.concurrency = 2 * self.batch_size
        self.num_batches = 0
        self._num_tokens = getattr(engine, "num_text_tokens", None) if max_prompt_tokens else None
        self._asks_who_waits = "is_wanted" in inspect.signature(engine.generate).parameters
        self._waiting: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._is_closing = False
        # One thread: models are not made for concurrent use, and the event loop must go on meanwhile.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="urt-engine")

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        """Callers of one event loop only."""
        loop = asyncio.get_running_loop()
        waiting = [Waiting(prompt, sampling, loop.create_future()) for prompt in prompts]
        self._waiting += waiting
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        try:
            return list(await asyncio.gather(*(item.answer for item in waiting)))
        finally:
            # Where one prompt failed, or the caller went away, nobody waits for the others.
            for item in waiting:
                item.answer.cancel()

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.max_wait_s)
        while batch := self._next_batch():
            self.num_batches += 1
            outcomes = await loop.run_in_executor(self._thread, self._run, batch)
            for item, outcome in zip(batch, outcomes, strict=True):
                if item.answer.done():
                    continue
                if isinstance(outcome, Exception):
                    item.answer.set_exception(outcome)
                else:
                    item.answer.set_result(outcome)

    def _next_batch(self) -> list[Waiting]:
        """The oldest request and those after it that are sampled alike, as many as fit."""
        self._waiting = [item for item in self._waiting if not item.answer.cancelled()]
        if not self._waiting:
            return []
        sampling = self._waiting[0].sampling
        room = max(1, self.batch_size // sampling.num_completions)
        batch = [item for item in self._waiting if item.sampling == sampling][:room]
        taken = set(map(id, batch))
        self._waiting = [item for item in self._waiting if id(item) not in taken]
        return batch

    # In the engine's thread

    def _run(self, batch: Sequence[Waiting]) -> list[Outcome]:
        refused = {index: refusal for index, item in enumerate(batch) if (refusal := self._refusal(item.prompt))}
        outcomes = iter(self._answers([item for index, item in enumerate(batch) if index not in refused]))
        return [refused[index] if index in refused else next(outcomes) for index in range(len(batch))]

    def _refusal(self, prompt: Prompt) -> Exception | None:
        if self._num_tokens is None or self.max_prompt_tokens is None:
            return None
        return too_long(prompt, self._num_tokens, self.max_prompt_tokens)

    def _answers(self, batch: Sequence[Waiting]) -> list[Outcome]:
        if not batch:
            return []
        more: dict[str, Any] = {}
        if self._asks_who_waits:
            more["is_wanted"] = lambda index: not (self._is_closing or batch[index].answer.cancelled())
        try:
            return [*self.engine.generate([item.prompt for item in batch], batch[0].sampling, **more)]
        except Exception as error:  # noqa: BLE001 - whatever a model raises, out of memory included, is told to the caller it belongs to
            if len(batch) == 1:
                return [error]
        half = len(batch) // 2
        return self._answers(batch[:half]) + self._answers(batch[half:])

    async def aclose(self) -> None:
        """Give up what is being computed, where the engine asks who waits; else wait for its batch."""
        self._is_closing = True
        await asyncio.to_thread(self._thread.shutdown)
