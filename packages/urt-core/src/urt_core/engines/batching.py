"""Concurrent callers of one local engine, merged into its batches."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from urt_core.engines import Completion, Engine, SamplingParams
from urt_core.errors import PromptError
from urt_core.prompts import Prompt


@dataclass(slots=True)
class Waiting:
    prompt: Prompt
    sampling: SamplingParams
    answer: asyncio.Future[list[Completion]]


class BatchingEngine:
    """What is asked while the engine is busy goes into its next batch; an idle engine waits `max_wait_s` for company.

    scorer = Scorer(engine=BatchingEngine(TransformersEngine.from_pretrained(folder, policy=policy)))
    """

    def __init__(self, engine: Engine, *, max_wait_s: float = 0.01) -> None:
        self.engine, self.max_wait_s = engine, max_wait_s
        self.policy = getattr(engine, "policy", None)
        self.batch_size = max(1, getattr(engine, "batch_size", 1))
        self.concurrency = 2 * self.batch_size
        self.num_batches = 0
        self._waiting: list[Waiting] = []
        self._alone: list[Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        # One thread: models are not made for concurrent use, and the event loop must go on meanwhile.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="urt-engine")

    @property
    def model(self) -> str:
        return self.engine.model

    async def agenerate(self, prompts: Sequence[Prompt], sampling: SamplingParams) -> list[list[Completion]]:
        """Callers of one event loop only."""
        loop = asyncio.get_running_loop()
        waiting = [Waiting(prompt, sampling, loop.create_future()) for prompt in prompts]
        self._waiting += waiting
        if self._worker is None or self._worker.done():
            self._worker = loop.create_task(self._work())
        return list(await asyncio.gather(*(item.answer for item in waiting)))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.max_wait_s)
        while self._waiting or self._alone:
            # A caller that has gone away has cancelled its futures.
            self._waiting = [item for item in self._waiting if not item.answer.cancelled()]
            batch = self._next_batch()
            if not batch:
                continue
            self.num_batches += 1
            prompts, sampling = [item.prompt for item in batch], batch[0].sampling
            running = loop.run_in_executor(self._thread, self.engine.generate, prompts, sampling)
            await asyncio.wait([running])
            error = running.exception()
            if isinstance(error, PromptError) and len(batch) > 1:
                # One caller's prompt must not fail the others': each is asked alone next.
                self._alone = batch + self._alone
                continue
            for index, item in enumerate(batch):
                if item.answer.done():
                    continue
                if error is not None:  # whoever waits has to hear of it
                    item.answer.set_exception(error)
                else:
                    item.answer.set_result(running.result()[index])

    def _next_batch(self) -> list[Waiting]:
        """The oldest request and those after it that are sampled alike, as many as fit."""
        if self._alone:
            return [self._alone.pop(0)]
        if not self._waiting:
            return []
        sampling = self._waiting[0].sampling
        room = max(1, self.batch_size // sampling.num_completions)
        batch = [item for item in self._waiting if item.sampling == sampling][:room]
        taken = set(map(id, batch))
        self._waiting = [item for item in self._waiting if id(item) not in taken]
        return batch

    async def aclose(self) -> None:
        """Wait for the batch that is being computed."""
        await asyncio.to_thread(self._thread.shutdown)
